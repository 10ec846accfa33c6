"""Drives calls: in a closed loop of callers who wait their turn, or openly at a given rate."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from time import perf_counter, process_time

from benchmarks.harness.rounds import Call


@dataclass(frozen=True)
class Driven:
    """What came of one span of load.

    Attributes:
        latencies: seconds of each call; under open load from when it was due, so that a call
            which had to wait for the event loop counts its wait.
        seconds: from the first call to the last answer.
        processor: seconds of processor time it took, loop and providers included.
    """

    latencies: list[float]
    seconds: float
    processor: float


async def closed(call: Call, *, callers: int, seconds: float) -> Driven:
    """Each of `callers` calls again as soon as it has its answer, for `seconds`."""
    latencies: list[float] = []
    start, worked = perf_counter(), process_time()
    end = start + seconds

    async def caller() -> None:
        due = perf_counter()
        while due < end:
            await call("question")
            now = perf_counter()
            latencies.append(now - due)
            due = now

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    return Driven(latencies, perf_counter() - start, process_time() - worked)


async def opened(call: Call, *, rate: float, seconds: float, seed: int) -> Driven:
    """Calls arrive by chance, `rate` a second on average, whether or not others have ended."""
    latencies: list[float] = []
    rng = Random(seed)
    start, worked = perf_counter(), process_time()

    async def one(due: float) -> None:
        await call("question")
        latencies.append(perf_counter() - due)

    async with asyncio.TaskGroup() as group:
        due = start
        while (due := due + rng.expovariate(rate)) < start + seconds:
            await asyncio.sleep(max(0.0, due - perf_counter()))
            group.create_task(one(due))
    return Driven(latencies, perf_counter() - start, process_time() - worked)
