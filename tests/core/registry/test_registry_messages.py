"""Names in the errors of a router's settings, and the candidates that a registry finds by name."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import RouteUnknown
from multirouter.core.registry.registry import Registry
from multirouter.core.registry.route_selection import RouteSelection, by_length
from multirouter.core.registry.updates import checked_settings, with_changes
from multirouter.core.routes.chain import Chain, Target
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HealthPolicy,
    HedgePolicy,
    LatencyPolicy,
    LimitPolicy,
    RetryPolicy,
)
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError, UsageError
from tests.core.kit import World, calm, chunks, fail_on_hook_error, provider

POLICIES = {
    "retry": (RetryPolicy(attempts=7), RetryPolicy()),
    "circuit": (CircuitPolicy(failures=7), CircuitPolicy()),
    "latency": (LatencyPolicy(factor=7.0), LatencyPolicy()),
    "health": (HealthPolicy(minimum_calls=7), HealthPolicy()),
    "stream": (StreamPolicy(idle=7.0), StreamPolicy()),
    "hedge": (HedgePolicy(after=7.0), None),
    "shadow": (Shadow(["a"]), None),
}


@pytest.mark.parametrize("name", POLICIES)
def test_policies_of_a_router(name: str) -> None:
    """One of its kind is kept, None is the default, and anything else is an error."""
    policy, default = POLICIES[name]
    assert checked_settings(**{name: policy}) == {name: policy}
    assert checked_settings(**{name: None}) == {name: default}
    with pytest.raises(ConfigurationError, match=f"^{name}: must be "):
        checked_settings(**{name: 7})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timeout": 0}, "timeout: must be "),
        ({"attempt_timeout": 0}, "attempt_timeout: must be "),
        ({"unsupported": "x"}, "unsupported: must be one of "),
        ({"panic": 2}, "panic: must be "),
        ({"budget": 3}, "budget: must be "),
        ({"accept": 3}, "accept: must be "),
        ({"requires": lambda: ()}, "requires: must take (request)"),
        ({"size": lambda: 1}, "size: must take (request)"),
    ],
)
def test_messages(settings: dict[str, Any], message: str) -> None:
    """They begin with the setting's name, as it is written."""
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        checked_settings(**settings)


def test_an_unknown_setting() -> None:
    """It is an error of `reconfigure`, with a name that is near."""
    with pytest.raises(ConfigurationError) as caught:
        with_changes(calm("a").defaults, {"timeot": 3})
    assert str(caught.value).startswith("reconfigure: unknown setting 'timeot'; did you mean")
    assert checked_settings(timeout=math.inf, attempt_timeout=None, unsupported=None) == {
        "timeout": math.inf,
        "attempt_timeout": None,
        "unsupported": "pass_over",
    }


# ── selection of routes ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: by_length(3), "by_length: must be a mapping of lengths, got 3"),  # type: ignore[arg-type]
        (lambda: by_length({0: "a"}), "by_length: must be "),
        (lambda: by_length({math.inf: "a"}, size=lambda: 1), "by_length.size: must take (request)"),  # type: ignore[arg-type,misc]
        (lambda: selection(choose=lambda: "a"), "route: must take (request)"),
        (lambda: selection(unknown=""), "unknown_route: must "),
    ],
)
def test_messages_of_a_selection(make: Any, message: str) -> None:
    """Infinite is a length."""
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        make()
    assert by_length({math.inf: "a"})("request") == "a"


def selection(world: World | None = None, **settings: Any) -> RouteSelection:
    """The selection of a router."""
    dispatcher = EventDispatcher([] if world is None else [world.recorder], fail_on_hook_error)
    return RouteSelection("tested", dispatcher, **settings)


def test_a_selection_reads_the_request() -> None:
    """For calls and for streams; an unknown route is reported with the one that is used."""
    both = Provider("b", stream=chunks)
    world = World([provider("a"), both], [Route("one", ["a"]), Route("two", ["b"])])
    choosing = selection(world, choose=lambda request: request, unknown="one")
    assert choosing.find(world.registry, "one", None).name == "one"
    assert choosing.find(world.registry, "two", None, streaming=True).name == "two"
    assert choosing.find(world.registry, "new", None).name == "one"
    assert world.recorder.of("route_unknown") == [RouteUnknown("tested", "new", "one")]


# ── registries ────────────────────────────────────────────────────────────────────────────────────


def test_the_candidate_of_a_name() -> None:
    """On the default route, or on a route of its own where it is on none, also of a stream."""
    world = World(
        [provider("a"), provider("b"), Provider("s", stream=chunks)], [Route("default", ["a"])]
    )
    for name in ("a", "b", "s"):
        found, route = world.registry.candidate(name)
        assert found.name == name
        assert found in route.members
    assert world.registry.candidate("a")[1].name == "default"


def test_errors_of_a_call_name_its_route() -> None:
    """And what is missing."""
    world = World([provider("a"), Provider("s", stream=chunks)])
    for route, streaming, message in (
        (["s"], False, "the call's route: none of its providers has call="),
        (["a"], True, "the call's route: none of its providers has stream="),
        (3, False, "the call's route: must be the name of a route, a Route or a list of provider "),
        (Chain([Target(("a",)), Target(("a", "a2"))]), True, "unknown provider 'a2'"),
    ):
        with pytest.raises((UsageError, ConfigurationError)) as caught:
            world.registry.route(route, streaming=streaming)
        assert message in str(caught.value)
    empty = Registry([], [], world.defaults, world.states, None)
    with pytest.raises(UsageError) as nothing:
        empty.route(None)
    assert str(nothing.value) == "the router has no providers; add one before the first call"


def test_shadow_targets_need_not_be_on_the_route() -> None:
    """The router's setting applies where a route has none; streams have no copies."""
    world = World(
        [provider(name) for name in "abc"],
        [Route("own", ["a"], shadow=Shadow(["b"])), Route("plain", [["a", "c"]])],
    )
    world.defaults = world.defaults._replace(shadow=Shadow(["c"]))
    world.configure(world.providers, world.routes)
    own, plain = world.route("own").shadow, world.route("plain").shadow
    assert own is not None
    assert plain is not None
    assert [member.name for member in own.members] == ["b"]
    assert list(plain.members) == [world.member("c", "plain")]
    assert own.policy.providers == ("b",)


def test_learning_providers_read_headers() -> None:
    """Those with `LimitPolicy(learn=True)`, for themselves."""
    world = World([provider("a", limits=LimitPolicy(learn=True)), provider("b")])
    seen: list[Any] = []
    world.states.in_loop = seen.append
    on_headers = world.member("a").on_headers
    assert on_headers is not None
    on_headers("m", {"x": "y"})
    assert seen[0].args == ("a", "m", {"x": "y"})
    assert world.member("b").on_headers is None


def test_the_attempt_timeout_of_a_route() -> None:
    """Half of the route's own timeout, where that is shorter than the usual one."""
    world = World([provider("a")], [Route("short", ["a"], timeout=4.0), Route("usual", ["a"])])
    assert world.member("a", "short").timeout == 2.0
    assert world.member("a", "usual").timeout > 2.0
