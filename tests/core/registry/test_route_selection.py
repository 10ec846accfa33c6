"""Route selection: by name, by request, by length, by priority."""

from __future__ import annotations

import math
from typing import Any

import pytest

from multirouter.core.registry.route_selection import (
    PRIORITIES,
    RouteSelection,
    by_length,
    priorities,
)
from multirouter.core.routes.route import Route
from multirouter.errors import ConfigurationError, UsageError
from tests.core.kit import World, provider


def selected(world: World, *how: Any, named: Any = None, request: Any = "q") -> str:
    """The route that a call takes."""
    route_selection = RouteSelection("tested", world.context.dispatcher, *how)
    return route_selection.find(route_selection.validate(world.registry), request, named).name


def two_routes() -> World:
    return World([provider("a")], [Route("simple", ["a"]), Route("hard", ["a"])])


def test_route_is_chosen_by_request() -> None:
    """`route=` is called when the call names none; None is the default route."""
    world = two_routes()
    assert selected(world, lambda request: "hard") == "hard"
    assert selected(world, lambda request: "hard", named="simple") == "simple"
    assert selected(world, lambda request: None) == "default"
    assert selected(world, lambda request: ["a"]) == "adhoc"


def test_route_function_that_raises() -> None:
    """The error names the user's exception."""
    with pytest.raises(UsageError, match="route= raised KeyError: 'task'") as caught:
        selected(two_routes(), lambda request: {}["task"])
    assert isinstance(caught.value.__cause__, KeyError)


def test_unknown_routes() -> None:
    """An unknown route raises with a suggestion, or takes `unknown_route=` and is reported."""
    world = two_routes()
    with pytest.raises(UsageError, match="did you mean 'simple'"):
        selected(world, lambda request: "simpel")
    assert selected(world, None, "simple", named="simpel") == "simple"
    assert selected(world, lambda request: "other", "simple") == "simple"
    assert [(n.requested, n.route) for n in world.recorder.of("route_unknown")] == [
        ("simpel", "simple"),
        ("other", "simple"),
    ]
    assert selected(world, None, "simple", named="hard") == "hard"


def test_invalid_settings() -> None:
    """`unknown_route=` must exist, and `route=` must be a function."""
    world = two_routes()
    with pytest.raises(ConfigurationError, match="unknown_route: unknown route 'simpel'; did"):
        selected(world, None, "simpel")
    with pytest.raises(ConfigurationError, match="route: must be a plain function"):
        selected(world, "simple")
    with pytest.raises(ConfigurationError, match="by_length: unknown route 'simpel'; did you mean"):
        selected(world, by_length({9: "hard", 99: "simpel"}))
    assert selected(world, by_length({9: "hard", 99: "simpel"}), "hard") == "hard"
    assert RouteSelection("tested", world.context.dispatcher, by_length({9: "later"})).validate(
        World([]).registry
    )
    empty = RouteSelection("tested", world.context.dispatcher, None, "later")
    assert empty.validate(World([]).registry).providers == {}


def test_by_length() -> None:
    """The first length that is not exceeded; longer requests take the last."""
    choose = by_length({100: "long", 10: "simple"}, size=len)
    assert [choose("x" * n) for n in (0, 10, 11, 100, 101)] == [
        "simple",
        "simple",
        "long",
        "long",
        "long",
    ]
    assert by_length({10: "simple", math.inf: "long"})("x" * 44) == "long"
    for wrong in ({}, {0: "a"}, {"x": "a"}):
        with pytest.raises(ConfigurationError, match="by_length"):
            by_length(wrong)  # type: ignore[arg-type]


def test_priorities() -> None:
    """The four priorities are routes that a call can name."""
    world = World([provider("a"), provider("b")], priorities(timeout=9.0))
    assert {name: world.route(name).tiers[0].policy.how for name in PRIORITIES} == {
        "speed": "fastest",
        "quality": "highest quality",
        "balanced": "best balance",
        "cheapest": "cheapest",
    }
    assert {world.route(name).timeout for name in PRIORITIES} == {9.0}
