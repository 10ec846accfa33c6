"""Many calls in flight at once: memory per call, and the time that all of them take."""

from __future__ import annotations

import asyncio
import math
import tracemalloc
from collections.abc import Awaitable, Callable
from random import Random
from time import perf_counter
from typing import Any

from prometheus_client import CollectorRegistry

from benchmarks.harness.memory import traced
from benchmarks.harness.rounds import Call
from multirouter import MultiProviderRouter, Provider
from multirouter.core.settings.policies import LatencyPolicy

METHOD = "bytes that tracemalloc sees allocated, by Python, while all calls are in flight"


async def in_flight(calls: int) -> dict[str, Any]:
    """Holds `calls` calls in flight at once, bare and then through the router.

    Returns:
        `bytes_per_call` (of `bare` and `router`, task included), `bytes_beyond_bare`, and
        `seconds` to start and end all of them, measured without tracemalloc.
    """
    tracemalloc.start()
    try:
        bytes_per_call = {
            name: await _with(name, _bytes_per_call, calls) for name in ("bare", "router")
        }
    finally:
        tracemalloc.stop()
    return {
        "calls": calls,
        "method": METHOD,
        "bytes_per_call": bytes_per_call,
        "bytes_beyond_bare": bytes_per_call["router"] - bytes_per_call["bare"],
        "seconds": {name: await _with(name, _total_seconds, calls) for name in ("bare", "router")},
    }


Measure = Callable[[Call, asyncio.Event, int], Awaitable[float]]


async def _with(name: str, measure: Measure, calls: int) -> float:
    """Measures one contestant whose provider answers when the event is set."""
    answered = asyncio.Event()

    async def provider(request: str) -> str:
        await answered.wait()
        return request

    if name == "bare":
        return await measure(provider, answered, calls)
    providers = [Provider(name, provider) for name in ("a", "b", "c")]
    # All answers arrive at once and later than any before; that must not count as slow.
    latency = LatencyPolicy(slow_factor=math.inf)
    async with MultiProviderRouter(
        providers, registry=CollectorRegistry(), rng=Random(1), latency=latency
    ) as router:
        return await measure(router.call, answered, calls)


async def _bytes_per_call(call: Call, answered: asyncio.Event, calls: int) -> float:
    """Bytes that one call holds while it waits for its provider."""
    await _run_all(call, answered, 100)  # make everything that is made only once
    answered.clear()
    before = traced()
    tasks = await _start_all(call, calls)
    bytes_per_call = (traced() - before) / calls
    answered.set()
    await asyncio.gather(*tasks)
    return bytes_per_call


async def _total_seconds(call: Call, answered: asyncio.Event, calls: int) -> float:
    """Seconds from the start of the first call to the answer of the last."""
    await _run_all(call, answered, 100)
    answered.clear()
    start = perf_counter()
    await _run_all(call, answered, calls)
    return perf_counter() - start


async def _run_all(call: Call, answered: asyncio.Event, calls: int) -> None:
    tasks = await _start_all(call, calls)
    answered.set()
    answers = await asyncio.gather(*tasks)
    assert answers == ["question"] * calls


async def _start_all(call: Call, calls: int) -> list[asyncio.Task[Any]]:
    """Tasks that have all reached their provider."""

    async def one() -> object:
        return await call("question")

    tasks = [asyncio.create_task(one()) for _ in range(calls)]
    await asyncio.sleep(0)
    return tasks
