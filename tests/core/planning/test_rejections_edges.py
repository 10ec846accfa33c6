"""What is refused at construction is named as the user wrote it, and told why in whole words."""

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


def built(*providers: Any, routes: tuple[Any, ...] = ()) -> World:
    """A roster of these."""
    return World(list(providers), list(routes))


REFUSED: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: HedgePolicy(after=1.0, percentile=0.9), "HedgePolicy", "takes only one of"),
    (lambda: LimitPolicy(tokens_per_minute=60), "LimitPolicy.size", "is needed by tokens"),
    (lambda: Provider("a"), "Provider('a')", "needs call= or stream=, or both"),
    (lambda: Provider("a", chunks), "Provider('a').call", "is an async generator function"),
    (lambda: Provider("a", stream=answer), "Provider('a').stream", "must return an async iter"),
    (lambda: built("a"), "providers", "must be Provider objects, not 'a'"),
    (lambda: built(provider("a", weight=0)), "providers", "all weights are 0 (a)"),
    (lambda: built(provider("a"), routes=("r",)), "routes", "must be Route objects, not 'r'"),
    (
        lambda: built(provider("a"), routes=(Route(ADHOC, ["a"]),)),
        "Route('adhoc')",
        "is the name of routes",
    ),
]


@pytest.mark.parametrize(("make", "what", "why"), REFUSED, ids=[case[1] for case in REFUSED])
def test_a_refusal_names_what_and_why(make: Callable[[], Any], what: str, why: str) -> None:
    """The setting is named as it is written, and the reason begins with what must be."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.what == what
    assert caught.value.why.startswith(why)


def test_a_stream_may_take_for_ever() -> None:
    """The limits of a stream may be switched off, as its timeouts may."""
    endless = Provider("a", stream=chunks, first_token=math.inf, idle=math.inf)
    assert (endless.first_token, endless.idle) == (math.inf, math.inf)


def test_who_leaves_takes_its_own_pace_along() -> None:
    """A provider that leaves is marked as gone, and the others keep what is known of them."""
    world = built(provider("a"), provider("b"))
    gate, kept = world.memory.gates["b"], world.member("a").latency
    world.memory.forget("b")
    world.configure([provider("a")])
    assert gate.removed is True
    assert world.member("a").latency is kept


def test_a_door_keeps_its_limits_through_a_change() -> None:
    """A roster that is made anew hands each door the limits of its provider."""
    limited = provider("a", limits=LimitPolicy(in_flight=1))
    world = built(limited)
    world.configure([limited])
    world.trying(world.plan())
    assert world.ended(world.plan()).result == "refused"


def test_routes_have_paces_of_their_own() -> None:
    """What a provider is known to take on one route says nothing of another."""
    world = built(provider("a"), routes=(Route("r", ["a"]),))
    assert world.member("a", "r").latency is not world.member("a").latency
