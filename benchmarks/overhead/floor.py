"""The floor: the least that a routed, bounded and counted call can cost, written out by hand."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from benchmarks.harness.rounds import Call
from multirouter.core.policies import ATTEMPT_TIMEOUT
from multirouter.listeners.families import BUCKETS


def make_floor(providers: Sequence[Call]) -> Call:
    """One draw, two clock reads, one `asyncio.timeout`, two counts, two observations, one gauge.

    Its metrics have the router's labels and buckets, in a registry of their own. It has no
    circuit, no failover, no trail of attempts and no whole-call deadline. Call it in the loop that
    it will run in.
    """
    registry = CollectorRegistry()
    names = ("router", "provider", "outcome")
    labels = ("floor", "first", "success")
    calls = Counter("calls", "calls", names, registry=registry).labels(*labels)
    attempts = Counter("attempts", "attempts", names, registry=registry).labels(*labels)
    family = Histogram("call_seconds", "calls", names, buckets=BUCKETS, registry=registry)
    call_seconds = family.labels(*labels)
    family = Histogram("attempt_seconds", "attempts", names, buckets=BUCKETS, registry=registry)
    attempt_seconds = family.labels(*labels)
    gauge = Gauge("in_flight", "in flight", names[:2], registry=registry).labels(*labels[:2])
    cumulative = list(accumulate(1.0 for _ in providers))
    total, draw = cumulative[-1], Random(1).random
    time: Callable[[], float] = asyncio.get_running_loop().time

    async def floor(request: str) -> object:
        started = time()
        provider = providers[bisect_right(cumulative, draw() * total)]
        gauge.inc()
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT):
                value = await provider(request)
        finally:
            gauge.dec()
        elapsed = time() - started
        attempts.inc()
        attempt_seconds.observe(elapsed)
        calls.inc()
        call_seconds.observe(elapsed)
        return value

    return floor
