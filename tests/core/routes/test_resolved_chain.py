"""A resolved chain: which settings come from which target, and what its candidates are."""

from __future__ import annotations

import math
from typing import Any

import pytest

from multirouter.core.cost.price import Price
from multirouter.core.limits.header_reports import ReportingCall, ReportingStream, report_headers
from multirouter.core.planning.chain_plan import ChainPlan
from multirouter.core.routes.chain import Chain, Target
from multirouter.core.routes.chain_route import ChainEligibility, ChainRoute
from multirouter.core.routes.model_watch import ModelWatch, watch_of
from multirouter.core.routes.route import Route
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.eligibility import Eligibility
from multirouter.core.selection.sticky import Sticky
from multirouter.core.selection.strategies import Fastest, with_sticky
from multirouter.core.settings.failure_rules import RULES
from multirouter.core.settings.policies import HedgePolicy, LimitPolicy, RetryPolicy
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.shadow import Shadow
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError
from multirouter.model import FailureKind
from tests.core.kit import World, answer, calm, chunks, provider, unpriced


def judge(answer: Any, request: Any) -> bool:
    return True


def count(request: Any) -> int:
    return 7


def resolved(world: World, *targets: Target, **settings: Any) -> ChainRoute:
    """The resolved chain of these targets."""
    route = world.route(Chain(list(targets), **settings))
    assert isinstance(route, ChainRoute)
    return route


def world_of(*routes: Route, **settings: Any) -> World:
    """A world of the providers a, b and c."""
    return World([provider(name) for name in "abc"], routes, **settings)


def test_the_settings_of_a_call_are_those_of_the_first_target() -> None:
    """The longest timeout and the first fallback of all count."""
    first = Route(
        "first",
        ["a"],
        timeout=5.0,
        retry=RetryPolicy(attempts=7),
        hedge=HedgePolicy(after=1.0),
        stream=StreamPolicy(first_token=3.0),
        accept=judge,
        shadow=Shadow(["c"], share=0.5),
        rules={FailureKind.NOT_FOUND: RULES[FailureKind.REQUEST]},
    )
    second = Route("second", ["b"], timeout=9.0, fallback="sorry", retry=RetryPolicy(attempts=2))
    route = resolved(world_of(first, second), Target("first"), Target("second"))
    assert (route.name, route.timeout, route.fallback) == ("first", 9.0, "sorry")
    assert (route.retry, route.hedge) == (first.retry, first.hedge)
    assert route.stream.first_token == 3.0
    own = route.links[0].route
    assert route.accept is own.accept is not None
    assert route.attempt_rules is own.attempt_rules
    assert route.rules[FailureKind.NOT_FOUND] == RULES[FailureKind.REQUEST]
    assert route.shadow is own.shadow
    assert route.shadow is not None
    assert [member.name for member in route.shadow.members] == ["c"]


def test_limits_that_not_all_targets_share_are_the_links() -> None:
    """The router's limits are those of all targets."""
    world = world_of(
        Route("first", ["a"], limits=LimitPolicy(in_flight=3)),
        Route("second", ["b"]),
        limits=LimitPolicy(tokens_per_minute=100.0, size=count),
    )
    route = resolved(world, Target("first"), Target("second", attempt_timeout=4.0))
    first, second = route.links
    assert len(route.limits) == 1
    assert [len(link.limits) for link in route.links] == [1, 0]
    assert route.limits[0] not in first.limits
    assert (first.attempt_timeout, second.attempt_timeout) == (math.inf, 4.0)
    assert (first.members, second.members) == ((route.members[0],), (route.members[1],))
    assert list(route.sizes) == [count]


def test_a_conversation_stays_only_where_the_first_target_is_sticky() -> None:
    """A later target's strategy chooses within its own tiers."""
    world = world_of(Route("plain", ["a"]), Route("sticky", [["b", "c"]], strategy="sticky"))
    assert resolved(world, Target("plain"), Target("sticky")).sticky is None
    assert resolved(world, Target("sticky"), Target("plain")).sticky is not None


def test_candidates_of_one_provider_have_different_keys() -> None:
    """The name, then with the model; a target without a model says so."""
    world = calm("a")
    route = resolved(world, Target("default", "m"), Target("default"), Target("default", "n"))
    assert [m.key for m in route.members] == ["a", "a (its own model)", "a (n)"]
    assert [m.name for m in route.members] == ["a", "a", "a"]
    assert [route.position(m) for m in route.members] == [0, 1, 2]
    request = {"model": "asked"}
    assert [m.pricing.model_of(request) for m in route.members] == ["m", "asked", "n"]


def test_only_functions_for_eligibility_make_a_check() -> None:
    """Of two targets with different functions each has its own, for its candidates."""
    needs = {"requires": lambda request: request["needs"]}
    plain = world_of(Route("first", ["a"]), Route("second", ["b"]))
    assert resolved(plain, Target("first"), Target("second")).eligibility is None
    world = world_of(Route("first", ["a"], **needs), Route("second", ["b"]))
    checked = resolved(world, Target("first"), Target("second")).eligibility
    assert checked is not None
    assert checked.ineligible({"needs": ["vision"]}) == {"a"}
    both = world_of(Route("first", ["a"], **needs), Route("second", ["b"], **dict(needs)))
    checked = resolved(both, Target("first"), Target("second")).eligibility
    assert isinstance(checked, Eligibility)
    assert not isinstance(checked, ChainEligibility)
    assert checked.ineligible({"needs": ["vision"]}) == {"a", "b"}


def test_each_target_checks_with_its_own_functions() -> None:
    """The reasons are joined, those of what a provider cannot express included."""
    providers = [
        provider("a"),
        provider("b"),
        provider("c", lacks=lambda request: {"tools": "never"}),
    ]
    first = Route("first", ["a"], requires=lambda request: request["first"])
    second = Route("second", ["b", "c"], requires=lambda request: request["second"])
    world = World(providers, [first, second])
    checked = resolved(world, Target("first"), Target("second")).eligibility
    assert isinstance(checked, ChainEligibility)
    request = {"first": ["vision"], "second": []}
    assert checked.ineligible(request) == {"a", "c"}
    assert set(checked.reasons(request)) == {"a", "c"}
    assert checked.ineligible({"first": [], "second": ["vision"]}) == {"b", "c"}


# ── models in use ─────────────────────────────────────────────────────────────────────────────────


def test_providers_of_one_model_are_not_watched() -> None:
    """Neither is a route that has no other ones; a function must see each request."""
    world = World(
        [provider("one", model="m"), provider("any"), provider("made", model=lambda request: "x")],
    )
    one, anything, made = world.route().members
    assert watch_of([one]) is None
    found = watch_of([one, anything])
    assert found is not None
    assert (found._members, found.always) == ([anything], False)
    assert ModelWatch([anything, made]).always is True


def test_what_excludes_a_provider_for_one_model() -> None:
    """Only an open circuit of this model, and as long as it is open."""
    world = calm("a", "b")
    watch = watch_of(world.route().members)
    assert watch is not None
    other = frozenset({"b"})
    for model in ("good", "bad"):
        assert watch.excluded({"model": model}, world.now, other) is other
        watch.excluded({"model": model}, world.now, frozenset())
    gate = world.states.gates["a"]
    assert gate.models is not None
    assert watch.reasons({"model": "bad"}, world.now) == {}
    assert watch.ready_in({"model": "bad"}, world.now) is None
    assert watch.ready_in("plain", world.now) is None


# ── strategies with settings ──────────────────────────────────────────────────────────────────────


def test_a_sticky_strategy_in_place_of_its_name() -> None:
    """Alone, or in the tiers that have it; beside another strategy its settings are an error."""
    sticky, fastest = Sticky(), Fastest()
    assert with_sticky("here", None, sticky) is sticky
    assert with_sticky("here", "sticky", sticky) is sticky
    assert with_sticky("here", ["sticky", fastest, "cheapest"], sticky) == (
        sticky,
        fastest,
        "cheapest",
    )
    for wrong in ("cheapest", ["cheapest", "fastest"]):
        with pytest.raises(ConfigurationError) as caught:
            with_sticky("here", wrong, sticky)
        expected = f"here: must be given with `strategy: sticky`, got {wrong!r}"
        assert str(caught.value) == expected


# ── candidates ────────────────────────────────────────────────────────────────────────────────────


def candidate(world: World, of: Provider[Any, Any, Any], **settings: Any) -> Candidate:
    """A candidate of a provider, with the gate, latency and health of the world's `a`."""
    a = world.member("a")
    common = {"pricing": unpriced("a"), "weight": 1.0, "timeout": 5.0}
    return Candidate(of, a.gate, a.latency, a.health, **common, **settings)


def test_a_candidate_that_is_on_no_route() -> None:
    """It has the usual rules, drops nothing, and tracks a latency of its own."""
    found = candidate(calm("a"), provider("a", lacks=lambda request: {}))
    assert (found.dropping, found.on_headers, found.idle) == (None, None, math.inf)
    assert found.lacks is not None
    assert found.rules.retries_per_provider == 0
    assert found.latency_average is None
    found.track_latency()
    assert found.latency_average is not None


async def test_a_route_changes_the_request_of_calls_and_streams() -> None:
    """Its transforms are the candidate's; what a provider lacks is not known before them."""

    async def call(request: Any) -> Any:
        return request

    async def stream(request: Any) -> Any:
        yield request

    own = Provider("a", call, stream=stream, lacks=lambda request: {})
    found = candidate(calm("a"), own, transforms=(lambda request: request + 1,))
    assert found.lacks is None
    assert await found.call(1) == 2
    assert [chunk async for chunk in found.stream(1)] == [2]


async def test_headers_are_read_of_calls_and_streams() -> None:
    """With the model that a request names; a provider that can only stream cannot be called."""
    seen: list[Any] = []

    def read(*found: Any) -> None:
        seen.append(found)

    async def call(request: Any) -> Any:
        report_headers({"q": request})
        return request

    async def stream(request: Any) -> Any:
        report_headers({"s": request})
        yield request

    both = candidate(calm("a"), Provider("a", call, stream=stream), on_headers=read)
    assert both.on_headers is not None
    assert isinstance(both.call, ReportingCall)
    assert isinstance(both.stream, ReportingStream)
    assert await both.call("x") == "x"
    named = {"model": "m"}
    assert [chunk async for chunk in both.stream(named)] == [named]
    assert seen == [("", {"q": "x"}), ("m", {"s": named})]
    only = candidate(calm("a"), Provider("a", stream=chunks), on_headers=read)
    assert only.call is None
    assert candidate(calm("a"), Provider("a", answer), on_headers=read).stream is None


def test_degraded_at_a_time() -> None:
    """By the present circuit: a circuit that has closed again counts anew."""
    world = World([provider("a"), provider("b")])
    member = world.member("a")
    for _ in range(20):
        member.health.record_failure(world.now)
    assert member.degraded_at(world.now)
    world.half_open("a")
    assert member.degraded_at(world.now)
    world.run_call("a", "success")
    assert not member.degraded_at(world.now)


def test_a_chain_is_planned_as_one() -> None:
    """With prices by model, each attempt has that of its target."""
    prices = {"m": Price(1.0, 1.0), "n": Price(2.0, 2.0)}
    world = World([provider("a", price=prices)])
    chain = Chain([Target("default", "m"), Target("default", "n")])
    plan = world.plan(chain, request={"model": "x"})
    assert isinstance(plan, ChainPlan)
    found = [
        member.pricing.price_of(None, member.pricing.model_of({})) for member in plan.route.members
    ]
    assert found == [prices["m"], prices["n"]]
