"""Many calls in flight at once: what one of them holds in memory, and how long all take."""

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
        `seconds` to begin and end all of them, taken without tracemalloc.
    """
    tracemalloc.start()
    try:
        hold_changed = {name: await _with(name, _held, calls) for name in ("bare", "router")}
    finally:
        tracemalloc.stop()
    return {
        "calls": calls,
        "method": METHOD,
        "bytes_per_call": hold_changed,
        "bytes_beyond_bare": hold_changed["router"] - hold_changed["bare"],
        "seconds": {name: await _with(name, _passed, calls) for name in ("bare", "router")},
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
    providers = [Provider(who, provider) for who in ("a", "b", "c")]
    # All answers come at once and later than any before: slowness is not what is asked about here.
    latency = LatencyPolicy(slow_factor=math.inf)
    async with MultiProviderRouter(
        providers, registry=CollectorRegistry(), rng=Random(1), latency=latency
    ) as router:
        return await measure(router.call, answered, calls)


async def _held(call: Call, answered: asyncio.Event, calls: int) -> float:
    """Bytes that one call holds while it waits for its provider."""
    await _flown(call, answered, 100)  # whatever is made once is made now
    answered.clear()
    before = traced()
    tasks = await _begun(call, calls)
    hold_changed = (traced() - before) / calls
    answered.set()
    await asyncio.gather(*tasks)
    return hold_changed


async def _passed(call: Call, answered: asyncio.Event, calls: int) -> float:
    """Seconds from the first call's begin to the last one's answer."""
    await _flown(call, answered, 100)
    answered.clear()
    start = perf_counter()
    await _flown(call, answered, calls)
    return perf_counter() - start


async def _flown(call: Call, answered: asyncio.Event, calls: int) -> None:
    tasks = await _begun(call, calls)
    answered.set()
    answers = await asyncio.gather(*tasks)
    assert answers == ["question"] * calls


async def _begun(call: Call, calls: int) -> list[asyncio.Task[Any]]:
    """Tasks that have all reached their provider."""

    async def one() -> object:
        return await call("question")

    tasks = [asyncio.create_task(one()) for _ in range(calls)]
    await asyncio.sleep(0)
    return tasks
