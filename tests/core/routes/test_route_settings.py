"""What a route may say besides its tiers: `on=`, domains, other routes, and which one is taken."""

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
from multirouter.model import FailureKind
from tests.core.kit import NEVER_TRIPS, World, calm, failing, provider

# ── on= ─────────────────────────────────────────────────────────────────────────────────────────


def only_on(*on: Any) -> World:
    """Two providers in a chain that fails over on some failures."""
    return calm("a", "b", routes=[Route("chain", ["a", "b"], on=on, retries_per_provider=1)])


@pytest.mark.parametrize(
    "verdict", [failing("server"), failing("timeout"), failing("rate_limit", status=429)]
)
def test_what_on_names_fails_over(verdict: Any) -> None:
    """A kind, its name, or a status: such a failure goes on to the next provider."""
    of = only_on(FailureKind.SERVER, "timeout", 429)
    plan = of.plan("chain")
    of.fails(plan, of.trying(plan), verdict)
    while not hasattr(step := of.step(plan), "member"):
        of.now = step.until  # type: ignore[union-attr]
    assert step.member.name in {"a", "b"}  # type: ignore[union-attr]


def test_what_on_does_not_name_is_final() -> None:
    """Any other failure ends the call with the user's own exception, and a note says why."""
    of = only_on(FailureKind.SERVER, 429)
    plan = of.plan("chain")
    error = of.fails(plan, of.trying(plan), failing("overloaded", status=503))
    outcome = of.ended(plan)
    assert outcome.error is error
    assert error.__notes__ == [
        "multirouter: attempt 1 at 'a' on route 'chain'; the route's on= does not name overloaded"
    ]


def test_an_empty_on_never_fails_over() -> None:
    """`on=[]` lets every failure end the call."""
    of = only_on()
    plan = of.plan("chain")
    assert of.fails(plan, of.trying(plan)) is of.ended(plan).error


@pytest.mark.parametrize(
    ("on", "says"),
    [
        (["sever"], "did you mean 'server'"),
        ([99], "99 is no HTTP status"),
        ([True], "no such kind"),
        ("server", "must be a list"),
        (503, "must be a list"),
    ],
)
def test_what_on_takes(on: Any, says: str) -> None:
    """Kinds and statuses, in a list."""
    with pytest.raises(ConfigurationError, match=says):
        Route("chain", ["a"], on=on)


# ── domains ─────────────────────────────────────────────────────────────────────────────────────


def regions(**settings: Any) -> World:
    """A chain of two in one region, and one elsewhere."""
    return World(
        [
            provider("a", domains=["openai", "us"]),
            provider("b", domains=["azure", "us"]),
            provider("c", domains=["azure", "eu"]),
        ],
        [Route("chain", ["a", "b", "c"])],
        circuit=NEVER_TRIPS,
        **settings,
    )


@pytest.mark.parametrize("kind", ["transport", "server", "overloaded", "credentials"])
def test_another_domain_is_preferred(kind: str) -> None:
    """After a failure that speaks of the domain one outside goes first."""
    of = regions()
    assert of.asked(of.plan("chain"), kind, "server", "ok") == ["a", "c", "b"]


@pytest.mark.parametrize("kind", ["timeout", "rate_limit", "not_found"])
def test_other_failures_speak_of_one_alone(kind: str) -> None:
    """What says nothing about the domain keeps the order."""
    of = regions()
    assert of.asked(of.plan("chain"), kind, "timeout", "ok") == ["a", "b", "c"]


def test_it_is_no_bar() -> None:
    """Who is of the failed domain is asked when nobody else is left."""
    of = regions()
    of.memory.gates["c"].hold_by_hand("open", of.now)
    assert of.asked(of.plan("chain"), "server", "ok") == ["a", "b"]


def test_no_trial_for_the_sake_of_a_domain() -> None:
    """A healthy one of the domain comes before a half-open one outside."""
    of = regions()
    of.memory.gates["c"].hold_by_hand("open", of.now)
    of.memory.gates["c"].hold_by_hand(None, of.now)  # half-open now
    plan = of.plan("chain")
    first = of.trying(plan)
    for copy in first.copies:
        plan.abandon(copy)
    of.fails(plan, first)
    second = of.trying(plan)
    assert (second.member.name, second.permit.trial) == ("b", False)


# ── routes in routes ────────────────────────────────────────────────────────────────────────────


def test_a_route_may_stand_in_another() -> None:
    """`route:...` stands for the other's tiers, without those that are there already."""
    routes = [
        Route("simple", [["a", "b"], "c"], strategy=["in_order", None]),
        Route("coding", ["d", "b", "route:simple"]),
    ]
    of = World([provider(n) for n in "abcd"], routes)
    tiers = of.route("coding").tiers
    assert [[m.name for m in tier.members] for tier in tiers] == [["d"], ["b"], ["a"], ["c"]]
    assert [tier.terms.how for tier in tiers][2] == "first in order"


@pytest.mark.parametrize(
    ("routes", "says"),
    [
        ([Route("a", ["route:b"]), Route("b", ["route:a"])], "leads back to itself: a > b > a"),
        ([Route("a", ["x", "route:a"])], "leads back to itself: a > a"),
        ([Route("a", ["route:bee"]), Route("bees", ["x"])], "did you mean 'bees'"),
        ([Route("a", [["x", "route:b"]]), Route("b", ["x"])], "must be a tier of its own"),
    ],
)
def test_routes_that_cannot_be(routes: list[Route], says: str) -> None:
    """Cycles, unknown routes and mixtures are refused before the first call."""
    with pytest.raises(ConfigurationError, match=says):
        World([provider("x")], routes)


def test_nobody_is_named_twice() -> None:
    """A provider that is repeated is refused where the route is made, or found by a pattern."""
    with pytest.raises(ConfigurationError, match="names 'a' twice"):
        World([provider("a"), provider("b")], [Route("r", ["*", "a"])])
    with pytest.raises(ConfigurationError, match="names 'a' twice"):
        Route("r", ["a", ["b", "a"]])


@pytest.mark.parametrize("name", ["requires", "size", "transform"])
def test_hooks_are_plain_functions(name: str) -> None:
    """What is no function, or would have to be awaited, is refused."""

    async def hook(request: Any) -> Any:
        return request

    for wrong in (hook, "hook"):
        with pytest.raises(ConfigurationError, match=rf"{name}: must be a plain function"):
            Route("r", ["a"], **{name: wrong})


def test_accept_is_a_function_or_a_schema() -> None:
    """Anything else is refused; and a core without a library cannot apply a schema."""
    with pytest.raises(ConfigurationError, match="a function or a JSON Schema"):
        Route("r", ["a"], accept=True)  # type: ignore[arg-type]

    async def judged_later(_: Any) -> bool:
        return False

    with pytest.raises(ConfigurationError, match="must be a plain function"):
        Route("r", ["a"], accept=judged_later)
    with pytest.raises(ConfigurationError, match="nobody here can apply"):
        World([provider("a")], [Route("r", ["a"], accept={})])


# ── which route ─────────────────────────────────────────────────────────────────────────────────


def dispatched(of: World, *how: Any, wanted: Any = None, request: Any = "q") -> str:
    """The route that a call takes."""
    dispatch = RouteSelection("tested", of.commons.dispatcher, *how)
    return dispatch.find(dispatch.checked(of.roster), request, wanted).name


def routed() -> World:
    return World([provider("a")], [Route("simple", ["a"]), Route("hard", ["a"])])


def test_the_request_chooses() -> None:
    """`route=` is asked when the call names none; None is the default route."""
    of = routed()
    assert dispatched(of, lambda request: "hard") == "hard"
    assert dispatched(of, lambda request: "hard", wanted="simple") == "simple"
    assert dispatched(of, lambda request: None) == "default"
    assert dispatched(of, lambda request: ["a"]) == "adhoc"


def test_a_choice_that_raises() -> None:
    """It is the user's mistake, and says so."""
    with pytest.raises(UsageError, match="route= raised KeyError: 'task'") as caught:
        dispatched(routed(), lambda request: {}["task"])
    assert isinstance(caught.value.__cause__, KeyError)


def test_unknown_routes() -> None:
    """They are refused with the near miss, or take the route that is named for them, counted."""
    of = routed()
    with pytest.raises(UsageError, match="did you mean 'simple'"):
        dispatched(of, lambda request: "simpel")
    assert dispatched(of, None, "simple", wanted="simpel") == "simple"
    assert dispatched(of, lambda request: "other", "simple") == "simple"
    assert [(n.wanted, n.route) for n in of.heard.of("route_unknown")] == [
        ("simpel", "simple"),
        ("other", "simple"),
    ]
    assert dispatched(of, None, "simple", wanted="hard") == "hard"


def test_settings_of_dispatch() -> None:
    """The substitute must exist, and the choice must be a function."""
    of = routed()
    with pytest.raises(ConfigurationError, match="unknown_route: unknown route 'simpel'; did"):
        dispatched(of, None, "simpel")
    with pytest.raises(ConfigurationError, match="route: must be a plain function"):
        dispatched(of, "simple")
    with pytest.raises(ConfigurationError, match="by_length: unknown route 'simpel'; did you mean"):
        dispatched(of, by_length({9: "hard", 99: "simpel"}))
    assert dispatched(of, by_length({9: "hard", 99: "simpel"}), "hard") == "hard"
    assert RouteSelection("tested", of.commons.dispatcher, by_length({9: "later"})).checked(
        World([]).roster
    )
    empty = RouteSelection("tested", of.commons.dispatcher, None, "later")
    assert empty.checked(World([]).roster).providers == {}


def test_by_length() -> None:
    """The first bound that is not exceeded; what exceeds all takes the last."""
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
    of = World([provider("a"), provider("b")], priorities(timeout=9.0))
    assert {name: of.route(name).tiers[0].terms.how for name in PRIORITIES} == {
        "speed": "faster of two",
        "quality": "highest quality",
        "balanced": "best balance",
        "cheapest": "cheapest",
    }
    assert {of.route(name).timeout for name in PRIORITIES} == {9.0}
