"""Edge cases of configuration: error texts, state across changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from multirouter.core.registry.registry import ADHOC
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import HedgePolicy, LimitPolicy
from multirouter.core.settings.provider import Provider
from multirouter.errors import ConfigurationError
from tests.core.kit import World, answer, chunks, provider


def world_of(*providers: Any, routes: tuple[Any, ...] = ()) -> World:
    """A world with these providers and routes."""
    return World(list(providers), list(routes))


INVALID: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: HedgePolicy(after=1.0, percentile=0.9), "HedgePolicy", "must set only one of"),
    (
        lambda: LimitPolicy(tokens_per_minute=60),
        "LimitPolicy.size",
        "must be a function that returns a request's tokens",
    ),
    (lambda: Provider("a"), "Provider('a')", "must have call= or stream=, or both"),
    (
        lambda: Provider("a", chunks),
        "Provider('a').call",
        "must be an async function, got an async",
    ),
    (lambda: Provider("a", stream=answer), "Provider('a').stream", "must return an async iter"),
    (lambda: world_of("a"), "providers", "must be Provider objects, got 'a'"),
    (lambda: world_of(provider("a", weight=0)), "providers", "at least one weight must be > 0"),
    (lambda: world_of(provider("a"), routes=("r",)), "routes", "must be Route objects, got 'r'"),
    (
        lambda: world_of(provider("a"), routes=(Route(ADHOC, ["a"]),)),
        "Route('adhoc')",
        "this name is reserved",
    ),
]


@pytest.mark.parametrize(("make", "what", "why"), INVALID, ids=[case[1] for case in INVALID])
def test_error_names_setting_and_reason(make: Callable[[], Any], what: str, why: str) -> None:
    """The error names the setting as the user writes it, and starts its reason with the rule."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.what == what
    assert caught.value.why.startswith(why)


def test_stream_limits_may_be_infinite() -> None:
    """The limits of a stream may be switched off with `math.inf`."""
    endless = Provider("a", stream=chunks, first_token=math.inf, idle=math.inf)
    assert (endless.first_token, endless.idle) == (math.inf, math.inf)


def test_removed_provider_loses_its_state() -> None:
    """A removed provider is marked as removed; the others keep their latencies."""
    world = world_of(provider("a"), provider("b"))
    gate, kept = world.states.gates["b"], world.member("a").latency
    world.states.remove_provider("b")
    world.configure([provider("a")])
    assert gate.removed is True
    assert world.member("a").latency is kept


def test_gate_keeps_its_limits_through_a_change() -> None:
    """A new registry applies each provider's limits to its gate."""
    limited = provider("a", limits=LimitPolicy(in_flight=1))
    world = world_of(limited)
    world.configure([limited])
    world.next_attempt(world.plan())
    assert world.next_outcome(world.plan()).result == "rejected"


def test_latencies_are_per_route() -> None:
    """A provider's latencies on one route are separate from those on another."""
    world = world_of(provider("a"), routes=(Route("r", ["a"]),))
    assert world.member("a", "r").latency is not world.member("a").latency
