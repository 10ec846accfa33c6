"""Runs one policy in one world: open-loop arrivals in virtual time, one task per call."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.outages.policy import Attempt, CallEnd, Policy, PolicyMaker, StateChange
from benchmarks.outages.provider import Request, SimulatedProvider
from benchmarks.outages.randomness import Randomness
from benchmarks.outages.world import World
from multirouter.testing import VirtualLoop

TRAIL_FROM = 4.0
"""Seconds: longer calls keep their trail, and so do calls with several attempts."""

NO_PROVIDER = 255
"""The provider index of a call that no provider answered."""


@dataclass(slots=True)
class Run:
    """The result of one policy in one world; calls are in the order of their arrival.

    Attributes:
        started: when each call arrived, seconds.
        elapsed: how long it took, seconds.
        served: index of the provider that answered it, or `NO_PROVIDER`.
        trails: the attempts of calls with several attempts, or long ones, by call number.
        errors: the errors that callers saw, by call number.
        changes: see `Policy`.
        background: see `Policy`.
        attempts: attempts at each provider.
        health_checks: health checks of each provider, which are no attempts.
        faults: attempts with the fault of an outage or a regular error, by kind.
        cost: USD paid to each provider.
        took: seconds of real time.
    """

    started: array[float]
    elapsed: array[float]
    served: bytearray
    trails: dict[int, Sequence[Attempt]] = field(default_factory=dict[int, Sequence[Attempt]])
    errors: dict[int, str] = field(default_factory=dict[int, str])
    changes: list[StateChange] = field(default_factory=list[StateChange])
    background: list[Attempt] = field(default_factory=list[Attempt])
    attempts: list[int] = field(default_factory=list[int])
    health_checks: list[int] = field(default_factory=list[int])
    faults: Counter[str] = field(default_factory=Counter[str])
    cost: list[float] = field(default_factory=list[float])
    took: float = 0.0


def run(world: World, maker: PolicyMaker) -> Run:
    """Runs one policy through a whole world."""
    began = time.perf_counter()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(_run(world, maker))
    result.took = time.perf_counter() - began
    return result


async def _run(world: World, maker: PolicyMaker) -> Run:
    randomness = Randomness(world.seed, world.length_share)
    providers = [
        SimulatedProvider(number, world, timeline, randomness)
        for number, timeline in enumerate(world.timelines())
    ]
    policy = maker(providers, world.seed)
    result = Run(array("d"), array("d"), bytearray())
    await _Arrivals(world, policy, result).all_ended
    await policy.aclose()
    result.changes, result.background = policy.changes, policy.background
    result.attempts = [provider.attempts for provider in providers]
    result.health_checks = [provider.health_checks for provider in providers]
    result.faults = sum((provider.faults for provider in providers), Counter[str]())
    result.cost = [provider.paid for provider in providers]
    return result


class _Arrivals:
    """Starts each call at its arrival time, whether or not earlier ones have ended.

    Attributes:
        all_ended: a future that is done when no call is left.
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
        result.served.append(NO_PROVIDER)
        task = self._loop.create_task(self._call(number))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        self._schedule()

    async def _call(self, number: int) -> None:
        result = self._result
        end = await self._policy.call(Request(number, self._providers))
        elapsed = result.elapsed[number] = self._loop.time() - result.started[number]
        if end.served is not None:
            result.served[number] = end.served
        if elapsed > TRAIL_FROM or len(end.trail) != 1 or end.error:
            self._keep(number, end)

    def _keep(self, number: int, end: CallEnd) -> None:
        self._result.trails[number] = end.trail
        if end.error:
            self._result.errors[number] = end.error

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = task.exception()
        if error is not None and not self.all_ended.done():
            self.all_ended.set_exception(error)
        self._check_end()

    def _check_end(self) -> None:
        if self._last and not self._tasks and not self.all_ended.done():
            self.all_ended.set_result(None)
