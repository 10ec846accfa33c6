"""The providers under load, called through the router or by a hand-written choice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from prometheus_client import CollectorRegistry

from benchmarks.harness.rounds import Call
from multirouter import MultiProviderRouter, Provider
from multirouter.testing import LogNormal


@dataclass(frozen=True)
class Speed:
    """One provider's latency distribution, lognormal, and its weight.

    Attributes:
        median: seconds.
        sigma: spread of the logarithm.
        weight: its share of the calls, relative to the others'.
    """

    median: float
    sigma: float
    weight: float

    @classmethod
    def parse(cls, text: str) -> Speed:
        """Reads `MEDIAN:SIGMA:WEIGHT`, as in `0.05:0.5:3`."""
        median, sigma, weight = map(float, text.split(":"))
        return cls(median, sigma, weight)

    def __str__(self) -> str:
        return f"{self.median:g}:{self.sigma:g}:{self.weight:g}"


SPEEDS = (Speed(0.02, 0.5, 3), Speed(0.04, 0.5, 2), Speed(0.08, 0.5, 1))


def coroutine_of(speed: Speed, seed: int) -> Call:
    """A provider that takes as long as its distribution says, and returns the request."""
    latency, rng = LogNormal(speed.median, speed.sigma), Random(seed)

    async def answer(request: str) -> str:
        await asyncio.sleep(latency.sample(rng))
        return request

    return answer


def by_hand(speeds: Sequence[Speed]) -> Call:
    """The same weighted choice without a router: no timeout, no metrics, no failover."""
    providers = [coroutine_of(speed, seed) for seed, speed in enumerate(speeds)]
    weights = [speed.weight for speed in speeds]
    choices = Random(1).choices

    async def call(request: str) -> object:
        return await choices(providers, weights)[0](request)

    return call


def routed(speeds: Sequence[Speed]) -> MultiProviderRouter[str, object]:
    """A router with default settings over the same providers."""
    return MultiProviderRouter(
        [
            Provider(f"provider-{seed}", coroutine_of(speed, seed), weight=speed.weight)
            for seed, speed in enumerate(speeds)
        ],
        registry=CollectorRegistry(),
        rng=Random(1),
    )
