"""Times contestants in interleaved rounds, so that disturbances affect all of them alike.

The measure is the processor time of the process: nothing waits here, and other work of the machine
is not counted.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import median, quantiles
from time import process_time

from benchmarks.harness.progress import Progress

GC_POLICY = (
    "the garbage collector is on, as in production; before the first round everything alive is "
    "collected and frozen, so that no contestant pays for walking another's modules"
)

TURN = 256
"""Calls between two iterations of the event loop, in which it removes cancelled timers, as it would
between real answers. A block has a whole number of such turns, at least one."""

Call = Callable[[str], Awaitable[object]]
"""One call as its user makes it: a request in, an answer out."""

Times = dict[str, list[float]]
"""Seconds of processor time a call took, by contestant, one for each round."""


async def interleave(
    contestants: Mapping[str, Call], *, rounds: int, block: float, progress: Progress
) -> Times:
    """Times each contestant once a round, in an order that changes with the round.

    Args:
        contestants: what to time, by name.
        rounds: how many rounds, at least 1.
        block: seconds that one contestant is timed for in one round, about.
        progress: counts the rounds.

    Returns:
        Seconds a call, by contestant and round.
    """
    turns = {name: await _turns(call, block) for name, call in contestants.items()}
    gc.collect()
    gc.freeze()
    try:
        times: Times = {name: [] for name in contestants}
        for number in range(rounds):
            for name in _order(list(contestants), number):
                seconds = await _time(contestants[name], turns[name])
                times[name].append(seconds / (turns[name] * TURN))
            progress.step()
    finally:
        gc.unfreeze()
    return times


def over(times: Times, name: str, base: str) -> list[float]:
    """Seconds that a call of `name` takes beyond one of `base`, round by round."""
    return [mine - bare for mine, bare in zip(times[name], times[base], strict=True)]


def ratio(upper: Sequence[float], lower: Sequence[float]) -> dict[str, float]:
    """The median and the quartiles of the ratios within each round."""
    ratios = [above / below for above, below in zip(upper, lower, strict=True)]
    if len(ratios) < 2:
        return {"median": ratios[0], "lower_quartile": ratios[0], "upper_quartile": ratios[0]}
    lowest, middle, highest = quantiles(ratios, n=4, method="inclusive")
    return {"median": middle, "lower_quartile": lowest, "upper_quartile": highest}


def microseconds(seconds: Sequence[float]) -> float:
    """The median, in microseconds."""
    return median(seconds) * 1e6


async def _turns(call: Call, block: float) -> int:
    """How many turns fill a block; the first calls are slower and only warm up the contestant."""
    await _time(call, 1)
    turns = 1
    while True:
        seconds = await _time(call, turns)
        if seconds >= block / 4:
            return max(1, round(turns * block / seconds))
        turns *= 2


async def _time(call: Call, turns: int) -> float:
    start = process_time()
    for _ in range(turns):
        for _ in range(TURN):
            await call("question")
        await asyncio.sleep(0)
    return process_time() - start


def _order(names: list[str], number: int) -> list[str]:
    """Each name comes first equally often, and every second round is reversed."""
    turn = number // 2 % len(names)
    turned = names[turn:] + names[:turn]
    return turned[::-1] if number % 2 else turned
