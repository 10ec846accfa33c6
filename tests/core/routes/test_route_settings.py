"""Settings of a route besides its tiers: `on=`, domains, and nested routes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from multirouter.core.routes.route import Route
from multirouter.core.settings.failure_rules import RULES, Failover
from multirouter.errors import ConfigurationError
from multirouter.model import FailureKind, Verdict
from tests.core.kit import NEVER_TRIPS, World, calm, failing, provider

# ── on= ─────────────────────────────────────────────────────────────────────────────────────────


def only_on(*on: Any) -> World:
    """Two providers in a chain that fails over on some failures."""
    return calm("a", "b", routes=[Route("chain", ["a", "b"], on=on, retries_per_provider=1)])


@pytest.mark.parametrize(
    "verdict", [failing("server"), failing("timeout"), failing("rate_limit", status=429)]
)
def test_failures_in_on_fail_over(verdict: Any) -> None:
    """A kind, its name, or a status: such a failure goes on to the next provider."""
    world = only_on(FailureKind.SERVER, "timeout", 429)
    plan = world.plan("chain")
    world.fail(plan, world.next_attempt(plan), verdict)
    while not hasattr(step := world.step(plan), "member"):
        world.now = step.until  # type: ignore[union-attr]
    assert step.member.name in {"a", "b"}  # type: ignore[union-attr]


def test_failures_not_in_on_are_final() -> None:
    """Any other failure ends the call with the provider's own exception, unchanged."""
    world = only_on(FailureKind.SERVER, 429)
    plan = world.plan("chain")
    error = world.fail(plan, world.next_attempt(plan), failing("overloaded", status=503))
    outcome = world.next_outcome(plan)
    assert outcome.error is error
    assert not vars(error).get("__notes__")


def test_empty_on_never_fails_over() -> None:
    """With `on=[]` every failure ends the call."""
    world = only_on()
    plan = world.plan("chain")
    assert world.fail(plan, world.next_attempt(plan)) is world.next_outcome(plan).error


@pytest.mark.parametrize(
    ("on", "message"),
    [
        (["sever"], "did you mean 'server'"),
        ([99], "must be 100 to 599, got 99"),
        ([True], "unknown failure kind"),
        ("server", "must be a list"),
        (503, "must be a list"),
    ],
)
def test_invalid_on(on: Any, message: str) -> None:
    """`on=` takes kinds and statuses, in a list."""
    with pytest.raises(ConfigurationError, match=message):
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
def test_failover_prefers_another_domain(kind: str) -> None:
    """After a failure that concerns a domain, a provider outside comes first."""
    world = regions()
    assert world.run_attempts(world.plan("chain"), kind, "server", "ok") == ["a", "c", "b"]


@pytest.mark.parametrize("kind", ["timeout", "rate_limit", "not_found"])
def test_other_failures_keep_the_order(kind: str) -> None:
    """A failure that does not concern the domain keeps the order."""
    world = regions()
    assert world.run_attempts(world.plan("chain"), kind, "timeout", "ok") == ["a", "b", "c"]


def test_same_domain_is_the_last_resort() -> None:
    """A provider of the failed domain is attempted when no other is left."""
    world = regions()
    world.states.gates["c"].set_hold("open", world.now)
    assert world.run_attempts(world.plan("chain"), "server", "ok") == ["a", "b"]


def test_healthy_same_domain_before_half_open_outside() -> None:
    """A healthy provider of the domain comes before a half-open one outside."""
    world = regions()
    world.states.gates["c"].set_hold("open", world.now)
    world.states.gates["c"].set_hold(None, world.now)  # half-open now
    plan = world.plan("chain")
    first = world.next_attempt(plan)
    for trial in first.trials:
        plan.abandon(trial)
    world.fail(plan, first)
    second = world.next_attempt(plan)
    assert (second.member.name, second.permit.trial) == ("b", False)


# ── routes in routes ────────────────────────────────────────────────────────────────────────────


def test_nested_route() -> None:
    """`route:...` stands for the other's tiers, without providers that are present already."""
    routes = [
        Route("simple", [["a", "b"], "c"], strategy=["in_order", None]),
        Route("coding", ["d", "b", "route:simple"]),
    ]
    world = World([provider(n) for n in "abcd"], routes)
    tiers = world.route("coding").tiers
    assert [[m.name for m in tier.members] for tier in tiers] == [["d"], ["b"], ["a"], ["c"]]
    assert [tier.policy.how for tier in tiers][2] == "first in order"


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        ([Route("a", ["route:b"]), Route("b", ["route:a"])], "refers back to itself: a > b > a"),
        ([Route("a", ["x", "route:a"])], "refers back to itself: a > a"),
        ([Route("a", ["route:bee"]), Route("bees", ["x"])], "did you mean 'bees'"),
        (
            [Route("a", [["x", "route:b"]]), Route("b", ["x"])],
            "must have 'route:b' alone in its tier",
        ),
    ],
)
def test_invalid_nested_routes(routes: list[Route], message: str) -> None:
    """Cycles, unknown routes and mixtures raise before the first call."""
    with pytest.raises(ConfigurationError, match=message):
        World([provider("x")], routes)


def test_duplicate_entries() -> None:
    """A repeated provider raises where the route is created, or where a pattern matches it."""
    with pytest.raises(ConfigurationError, match="duplicate entry 'a'"):
        World([provider("a"), provider("b")], [Route("r", ["*", "a"])])
    with pytest.raises(ConfigurationError, match="duplicate entry 'a'"):
        Route("r", ["a", ["b", "a"]])


@pytest.mark.parametrize("name", ["requires", "size", "transform"])
def test_hooks_are_plain_functions(name: str) -> None:
    """A hook that is no function, or a coroutine function, raises."""

    async def hook(request: Any) -> Any:
        return request

    for wrong in (hook, "hook"):
        with pytest.raises(ConfigurationError, match=rf"{name}: must be a plain function"):
            Route("r", ["a"], **{name: wrong})


def test_accept_is_a_function_or_a_schema() -> None:
    """Anything else raises; without a schema library a JSON Schema raises too."""
    with pytest.raises(ConfigurationError, match="a function or a JSON Schema"):
        Route("r", ["a"], accept=True)  # type: ignore[arg-type]

    async def judge(_: Any) -> bool:
        return False

    with pytest.raises(ConfigurationError, match="must be a plain function"):
        Route("r", ["a"], accept=judge)
    with pytest.raises(ConfigurationError, match="a JSON Schema is not supported"):
        World([provider("a")], [Route("r", ["a"], accept={})])


# ── refusals ────────────────────────────────────────────────────────────────────────────────────


def test_a_schema_becomes_a_check_of_the_answer() -> None:
    """What the maker of checks returns is called with the answer alone."""
    route = Route("r", ["a"], accept={"const": 1})
    world = World([provider("a")])
    world.defaults = world.defaults._replace(schema=lambda schema: lambda answer: answer)
    world.configure(world.providers, [route])
    accept = world.route("r").accept
    assert accept is not None
    assert accept("answer", {}) == "answer"


REFUSED = {"type": "message", "content": [], "stop_reason": "refusal"}


@pytest.mark.parametrize("own_check", [True, False])
def test_refusals_are_found_only_where_the_route_opts_in(own_check: bool) -> None:
    """Before the route's own check, which sees every other answer."""
    seen: list[object] = []

    def own(answer: object, request: object) -> bool:
        seen.append((answer, request))
        return False

    accept = own if own_check else None
    rule = replace(RULES[FailureKind.REFUSAL], failover=Failover.AT_ONCE)
    plain = Route("plain", ["a"], accept=accept)
    strict = Route("strict", ["a"], accept=accept, rules={"refusal": rule})
    world = World([provider("a")], [plain, strict])
    assert world.route("plain").accept is accept
    judge = world.route("strict").accept
    assert judge is not None
    verdict = judge(REFUSED, {})
    assert isinstance(verdict, Verdict)
    assert (verdict.kind, verdict.reason) == (FailureKind.REFUSAL, "refusal")
    assert (judge("answer", {}), seen) == ((False, [("answer", {})]) if own_check else (True, []))
