"""One policy in one world: open-loop arrivals in virtual time, one task a call."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.outages.chance import Chance
from benchmarks.outages.policy import Asked, Ending, Policy, PolicyMaker, Turn
from benchmarks.outages.provider import Request, SimulatedProvider
from benchmarks.outages.world import World
from multirouter.testing import VirtualLoop

TRAIL_FROM = 4.0
"""Calls that took longer, seconds, keep their trail, and so do those of several attempts."""

NOBODY = 255
"""Stands for the provider of a call that nobody answered."""


@dataclass(slots=True)
class Run:
    """What came of one policy in one world; calls are in the order of their arrival.

    Attributes:
        started: when each call came, seconds.
        elapsed: how long it took, seconds.
        served: index of who answered it, or `NOBODY`.
        trails: the attempts of those that needed several, or long, by their number.
        errors: what their callers saw, by number.
        turns: see `Policy`.
        background: see `Policy`.
        attempts: asked of each provider.
        probes: tests by `health_check=` of each provider, which are no attempts.
        struck: attempts that an outage or a regular error befell, by sort.
        cost: USD paid to each provider.
        took: seconds of real time.
    """

    started: array[float]
    elapsed: array[float]
    served: bytearray
    trails: dict[int, Sequence[Asked]] = field(default_factory=dict[int, Sequence[Asked]])
    errors: dict[int, str] = field(default_factory=dict[int, str])
    turns: list[Turn] = field(default_factory=list[Turn])
    background: list[Asked] = field(default_factory=list[Asked])
    attempts: list[int] = field(default_factory=list[int])
    half_open_max_calls: list[int] = field(default_factory=list[int])
    struck: Counter[str] = field(default_factory=Counter[str])
    cost: list[float] = field(default_factory=list[float])
    took: float = 0.0


def run(world: World, maker: PolicyMaker) -> Run:
    """Runs one policy through the whole of a world."""
    began = time.perf_counter()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(_run(world, maker))
    result.took = time.perf_counter() - began
    return result


async def _run(world: World, maker: PolicyMaker) -> Run:
    chance = Chance(world.seed, world.length_share)
    providers = [
        SimulatedProvider(number, world, course, chance)
        for number, course in enumerate(world.courses())
    ]
    policy = maker(providers, world.seed)
    result = Run(array("d"), array("d"), bytearray())
    await _Arrivals(world, policy, result).all_ended
    await policy.aclose()
    result.turns, result.background = policy.turns, policy.background
    result.attempts = [provider.attempts for provider in providers]
    result.half_open_max_calls = [provider.half_open_max_calls for provider in providers]
    result.struck = sum((provider.struck for provider in providers), Counter[str]())
    result.cost = [provider.paid for provider in providers]
    return result


class _Arrivals:
    """Starts each call at its instant, whether or not earlier ones have ended.

    Attributes:
        all_ended: done when no call is left.
    """

    def __init__(self, world: World, policy: Policy, result: Run) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrivals = world.arrivals()
        self._providers = len(world.specs)
        self._policy = policy
        self._result = result
        self._tasks: set[asyncio.Task[None]] = set()
        self._last = False
        self.all_ended = self._loop.create_future()
        self._schedule()

    def _schedule(self) -> None:
        at = next(self._arrivals, None)
        if at is None:
            self._last = True
            self._check_end()
        else:
            self._loop.call_at(at, self._start)

    def _start(self) -> None:
        result = self._result
        number = len(result.started)
        result.started.append(self._loop.time())
        result.elapsed.append(-1.0)
        result.served.append(NOBODY)
        task = self._loop.create_task(self._call(number))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        self._schedule()

    async def _call(self, number: int) -> None:
        result = self._result
        ending = await self._policy.ask(Request(number, self._providers))
        elapsed = result.elapsed[number] = self._loop.time() - result.started[number]
        if ending.served is not None:
            result.served[number] = ending.served
        if elapsed > TRAIL_FROM or len(ending.trail) != 1 or ending.error:
            self._keep(number, ending)

    def _keep(self, number: int, ending: Ending) -> None:
        self._result.trails[number] = ending.trail
        if ending.error:
            self._result.errors[number] = ending.error

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = task.exception()
        if error is not None and not self.all_ended.done():
            self.all_ended.set_exception(error)
        self._check_end()

    def _check_end(self) -> None:
        if self._last and not self._tasks and not self.all_ended.done():
            self.all_ended.set_result(None)
