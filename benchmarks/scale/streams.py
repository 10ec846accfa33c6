"""Very many streams at once through one router: how late a chunk is delivered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from random import Random

from prometheus_client import CollectorRegistry

from benchmarks.harness.percentiles import percentiles
from multirouter import MultiProviderRouter, Provider

STREAMS = 5_000

INTERVAL = 2.0
"""Seconds between two chunks of a stream; the streams begin spread over as long."""

CHUNKS = 6


async def chunks(request: tuple[float, float]) -> AsyncIterator[float]:
    """Chunks from a start, with an interval; each is the loop time at which it is due."""
    loop = asyncio.get_running_loop()
    start, interval = request
    for number in range(CHUNKS):
        due = start + number * interval
        await asyncio.sleep(due - loop.time())
        yield due


async def measured(divisor: int) -> dict[str, float]:
    """Milliseconds from when a chunk is due to its consumer, and processor time of a chunk."""
    count = STREAMS // divisor
    interval = INTERVAL / divisor
    providers = [Provider(f"provider-{number}", stream=chunks) for number in range(3)]
    registry = CollectorRegistry()
    late: list[float] = []
    async with MultiProviderRouter(providers, registry=registry, rng=Random(1)) as router:
        loop = asyncio.get_running_loop()
        begin = loop.time() + 1.0

        async def consume(number: int) -> None:
            at = begin + interval * number / count
            await asyncio.sleep(at - loop.time())
            async with router.stream((at, interval)) as stream:
                late.extend([1e3 * (loop.time() - due) async for due in stream])

        began = time.process_time()
        await asyncio.gather(*map(consume, range(count)))
        spent = time.process_time() - began
    found = percentiles(late)
    return {
        "streams": count,
        "ms_chunk_p50": found["p50"],
        "ms_chunk_p99": found["p99"],
        "us_processor_a_chunk": 1e6 * spent / len(late),
    }
