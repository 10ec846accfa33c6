"""Drives calls: in a closed loop of callers who wait their turn, or openly at a given rate."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from time import perf_counter, process_time

from benchmarks.harness.rounds import Call
from multirouter import CallFailed

PAUSE = 0.01
"""Seconds a caller rests whom nobody answered: a refusal comes at once."""


@dataclass
class Driven:
    """What came of one span of load.

    Attributes:
        latencies: seconds of each answered call; under open load from when it was due, so that a
            call which had to wait for the event loop counts its wait.
        failed: calls that nobody answered.
        seconds: from the first call to the last answer.
        processor: seconds of processor time it took, loop and providers included.
    """

    latencies: list[float] = field(default_factory=list[float])
    failed: int = 0
    seconds: float = 0.0
    processor: float = 0.0


async def one(call: Call, due: float, driven: Driven) -> None:
    """Makes a call that was due at `due` and notes how long its answer took since then."""
    try:
        await call("question")
    except CallFailed:
        driven.failed += 1
        await asyncio.sleep(PAUSE)
    else:
        driven.latencies.append(perf_counter() - due)


async def closed(call: Call, *, callers: int, seconds: float) -> Driven:
    """Each of `callers` calls again as soon as it has its answer, for `seconds`."""
    driven = Driven()
    start, worked = perf_counter(), process_time()
    end = start + seconds

    async def caller() -> None:
        due = perf_counter()
        while due < end:
            await one(call, due, driven)
            due = perf_counter()

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    driven.seconds, driven.processor = perf_counter() - start, process_time() - worked
    return driven


async def opened(call: Call, *, rate: float, seconds: float, seed: int) -> Driven:
    """Calls arrive by chance, `rate` a second on average, whether or not others have ended."""
    driven = Driven()
    rng = Random(seed)
    start, worked = perf_counter(), process_time()

    async with asyncio.TaskGroup() as group:
        due = start
        while (due := due + rng.expovariate(rate)) < start + seconds:
            await asyncio.sleep(max(0.0, due - perf_counter()))
            group.create_task(one(call, due, driven))
    driven.seconds, driven.processor = perf_counter() - start, process_time() - worked
    return driven
