"""A world with one tier under a strategy, and methods that make calls in it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from multirouter.core.routes.route import Route
from tests.core.kit import NEVER_TRIPS, World


def one_tier(strategy: Any, *providers: Any, **settings: Any) -> World:
    """Providers in one tier of the route `work`, under a strategy."""
    names = [one.name for one in providers]
    settings.setdefault("circuit", NEVER_TRIPS)
    return World(providers, [Route("work", [names], strategy=strategy)], **settings)


def chosen(world: World, request: Any = None) -> str:
    """The provider that the next call attempts; the attempt stays in flight."""
    return world.next_attempt(world.plan("work", request=request)).member.name


def served(world: World, n: int, request: Any = None) -> Counter[str]:
    """How many of n calls, one after the other, each provider answers."""
    names: Counter[str] = Counter()
    for _ in range(n):
        plan = world.plan("work", request=request)
        step = world.next_attempt(plan)
        world.succeed(plan, step)
        names[step.member.name] += 1
    return names


def record_latencies(world: World, **latencies: float) -> None:
    """Records one answer for each provider, in so many seconds."""
    for name, seconds in latencies.items():
        average = world.member(name, "work").latency_average
        assert average is not None
        average.record(seconds, world.now, 0)
