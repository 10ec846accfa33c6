"""The start of a router with very many providers and routes, and the calls that follow."""

from __future__ import annotations

import time
from random import Random

from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider, Route

PROVIDERS, ROUTES = 10_000, 1_000

ROUTE_SIZE = 10
"""Providers of each route."""


async def answer(request: str) -> str:
    """A provider that answers at once."""
    return request


def settings(providers: int, routes: int) -> tuple[list[Provider[str, str]], list[Route]]:
    """That many providers, and routes over ten of them each."""
    made = [Provider(f"provider-{number}", answer) for number in range(providers)]
    names = [provider.name for provider in made]
    starts = [number * ROUTE_SIZE % providers for number in range(routes)]
    return made, [
        Route(f"route-{number}", [names[first : first + ROUTE_SIZE]])
        for number, first in enumerate(starts)
    ]


async def measured(divisor: int) -> dict[str, float]:
    """Seconds of processor time of the start and of the first call on the largest route."""
    began = time.process_time()
    providers, routes = settings(PROVIDERS // divisor, ROUTES // divisor)
    registry = CollectorRegistry()
    async with MultiProviderRouter(
        providers, routes=routes, registry=registry, rng=Random(1)
    ) as router:
        started = time.process_time()
        await router.call("question")
        called = time.process_time()
    return {"seconds_to_start": started - began, "seconds_of_the_first_call": called - started}
