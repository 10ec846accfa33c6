"""Load drivers: a closed loop of callers, or open-loop arrivals at a given rate."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from time import perf_counter, process_time

from benchmarks.harness.rounds import Call
from multirouter import CallFailed

RETRY_DELAY = 0.01
"""Seconds that a caller waits after a failed call: a rejection returns at once."""


@dataclass
class LoadResult:
    """Result of one interval of load.

    Attributes:
        latencies: seconds of each answered call; in the open loop from the time it was due, so that
            the wait of a call for the event loop counts.
        failed: calls without an answer.
        seconds: from the first call to the last answer.
        processor: seconds of processor time, loop and providers included.
    """

    latencies: list[float] = field(default_factory=list[float])
    failed: int = 0
    seconds: float = 0.0
    processor: float = 0.0


async def one(call: Call, due: float, result: LoadResult) -> None:
    """Makes a call that was due at `due`, and records its latency since then."""
    try:
        await call("question")
    except CallFailed:
        result.failed += 1
        await asyncio.sleep(RETRY_DELAY)
    else:
        result.latencies.append(perf_counter() - due)


async def closed_loop(call: Call, *, callers: int, seconds: float) -> LoadResult:
    """Each of `callers` callers calls again as soon as it has its answer, for `seconds`."""
    result = LoadResult()
    start, worked = perf_counter(), process_time()
    end = start + seconds

    async def caller() -> None:
        due = perf_counter()
        while due < end:
            await one(call, due, result)
            due = perf_counter()

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    result.seconds, result.processor = perf_counter() - start, process_time() - worked
    return result


async def open_loop(call: Call, *, rate: float, seconds: float, seed: int) -> LoadResult:
    """Calls arrive at random, `rate` per second on average, whether or not others have ended."""
    result = LoadResult()
    rng = Random(seed)
    start, worked = perf_counter(), process_time()

    async with asyncio.TaskGroup() as group:
        due = start
        while (due := due + rng.expovariate(rate)) < start + seconds:
            await asyncio.sleep(max(0.0, due - perf_counter()))
            group.create_task(one(call, due, result))
    result.seconds, result.processor = perf_counter() - start, process_time() - worked
    return result
