"""The floor: the minimum that a routed, bounded and counted call can cost, written by hand."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from benchmarks.harness.rounds import Call
from multirouter.core.settings.policies import ATTEMPT_TIMEOUT
from multirouter.listeners.metrics.family_makers import BUCKETS

OF_CALLS = ("floor", "default", "success")


def make_floor(providers: Sequence[Call]) -> Call:
    """A random choice, two clock reads, an `asyncio.timeout`, five metric updates, no more.

    These are two counts, two observations and one gauge. The metrics have the router's labels and
    buckets, one series for each provider, in a registry of their own. It has no circuit, no
    failover, no trail of attempts and no deadline of the call. Call this function in the loop that
    the floor will run in.
    """
    metrics = _Metrics(CollectorRegistry())
    calls, call_seconds = metrics.calls, metrics.call_seconds
    bound_providers = [
        metrics.of_provider(f"provider-{n}", provider) for n, provider in enumerate(providers)
    ]
    cumulative = list(accumulate(1.0 for _ in bound_providers))
    total, random = cumulative[-1], Random(1).random
    time: Callable[[], float] = asyncio.get_running_loop().time

    async def floor(request: str) -> object:
        started = time()
        provider, gauge, attempts, attempt_seconds = bound_providers[
            bisect_right(cumulative, random() * total)
        ]
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


class _Metrics:
    """Metrics with their labels bound: those of the calls, and those of each provider."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names = ("router", "provider", "outcome")
        self._attempts = Counter("attempts", "attempts", names, registry=registry)
        self._attempt_seconds = Histogram(
            "attempt_seconds", "attempts", names, buckets=BUCKETS, registry=registry
        )
        self._in_flight = Gauge("in_flight", "attempts", names[:2], registry=registry)
        names = ("router", "route", "outcome")
        self.calls = Counter("calls", "calls", names, registry=registry).labels(*OF_CALLS)
        self.call_seconds = Histogram(
            "call_seconds", "calls", names, buckets=BUCKETS, registry=registry
        ).labels(*OF_CALLS)

    def of_provider(self, name: str, provider: Call) -> tuple[Call, Gauge, Counter, Histogram]:
        """One provider with its gauge, counter and histogram."""
        labels = ("floor", name, "success")
        return (
            provider,
            self._in_flight.labels(*labels[:2]),
            self._attempts.labels(*labels),
            self._attempt_seconds.labels(*labels),
        )
