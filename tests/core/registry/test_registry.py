"""Registry: names, precedence, routes by name and by call, and the state that outlives it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from multirouter.core.routes.route import Route
from multirouter.core.settings.failure_rules import RULES
from multirouter.core.settings.policies import CircuitPolicy, HedgePolicy, LimitPolicy, RetryPolicy
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError, UsageError
from multirouter.model import FailureKind
from tests.core.kit import World, chunks, provider

AB = [provider("a"), provider("b")]


def names(world: World, route: Any = None, *, streaming: bool = False) -> list[list[str]]:
    """Names in the tiers of a route."""
    resolved = world.registry.route(route, streaming=streaming)
    return [[member.name for member in tier.members] for tier in resolved.tiers]


# ── invalid configurations ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "bad", [-1, -0.5, math.nan, math.inf, True, "3", None, 1e-10, 1e10, 10**400], ids=repr
)
def test_invalid_weights(bad: Any) -> None:
    """Case 53: a weight that is no number, or out of range, is invalid, by the provider's name."""
    with pytest.raises(ConfigurationError) as caught:
        provider("gpt", weight=bad)
    assert caught.value.what == "Provider('gpt').weight"


def test_duplicate_or_invalid_providers() -> None:
    """Case 53: a duplicate name and an object that is no Provider are invalid."""
    with pytest.raises(ConfigurationError, match=r"Provider\('a'\): duplicate name"):
        World([*AB, provider("a", weight=2)])
    with pytest.raises(ConfigurationError, match="must be Provider objects, got 'a'"):
        World(["a"])  # type: ignore[list-item]


def test_one_weight_must_be_positive() -> None:
    """Case 51: weights that are all 0 are invalid; a single positive one is enough."""
    with pytest.raises(
        ConfigurationError, match=r"at least one weight must be > 0, got 0 for all \(a, b\)"
    ):
        World([provider("a", weight=0), provider("b", weight=0)])
    assert names(World([provider("a", weight=0), provider("b")])) == [["a", "b"]]


def test_no_providers() -> None:
    """Case 53: an empty router is valid; a call on it says what is missing."""
    world = World([])
    with pytest.raises(UsageError, match="has no providers; add one"):
        world.route()
    with pytest.raises(ConfigurationError, match="unknown provider 'a'; known: none"):
        World([], [Route("r", ["a"])])


def test_invalid_routes() -> None:
    """Case 74: routes are unique and name known providers; `adhoc` is reserved."""
    with pytest.raises(ConfigurationError, match=r"Route\('r'\): duplicate name"):
        World(AB, [Route("r", ["a"]), Route("r", ["b"])])
    with pytest.raises(ConfigurationError, match="must be Route objects, got 'r'"):
        World(AB, ["r"])  # type: ignore[list-item]
    with pytest.raises(
        ConfigurationError, match="this name is reserved for routes passed with a call"
    ):
        World(AB, [Route("adhoc", ["a"])])
    with pytest.raises(ConfigurationError, match="unknown provider 'c'"):
        World(AB, [Route("r", ["c"])])


def test_invalid_configuration_changes_nothing() -> None:
    """Case 88: an invalid configuration leaves gates and policies as they were."""
    world = World(AB)
    before = dict(world.states.gates)
    policies = [gate.circuit.policy for gate in before.values()]
    other = CircuitPolicy(failures=9)
    with pytest.raises(ConfigurationError):
        world.configure([provider("a", circuit=other), provider("c")], [Route("r", ["d"])])
    assert world.states.gates == before
    assert [gate.circuit.policy for gate in before.values()] == policies


# ── routes by name, and passed with a call ──────────────────────────────────────────────────────


def test_default_route() -> None:
    """All providers in one weighted tier, unless a route of that name is defined."""
    assert names(World(AB)) == names(World(AB), "default") == [["a", "b"]]
    assert names(World(AB, [Route("default", ["b", "a"])])) == [["b"], ["a"]]


def test_unknown_route() -> None:
    """The error suggests the closest name."""
    world = World(AB, [Route("coding", ["a"])])
    with pytest.raises(UsageError, match="unknown route 'codign'; did you mean 'coding'"):
        world.route("codign")


def test_route_passed_with_a_call() -> None:
    """A list of names, or a Route, applies to one call, under the label `adhoc`."""
    world = World(AB)
    assert names(world, ["b", "a"]) == [["b"], ["a"]]
    assert world.route(["b"]).name == "adhoc"
    adhoc = world.route(Route("mine", [["a", "b"]], timeout=3.0, weights={"a": 9}))
    assert (adhoc.name, adhoc.timeout, adhoc.members[0].weight) == ("adhoc", 3.0, 9.0)
    assert adhoc.members[0].gate is world.states.gates["a"]
    for bad in (["c"], [], ["a", "a"], [3], 5, Route("mine", ["x*"])):
        with pytest.raises(UsageError, match="the call's route: "):
            world.route(bad)


def test_adhoc_route_has_no_limits() -> None:
    """Limits on a route passed with a call would limit nothing, so they raise."""
    limited = Route("mine", ["a"], limits=LimitPolicy(in_flight=1))
    with pytest.raises(UsageError, match=r"Route\('mine'\)\.limits is allowed only on"):
        World(AB).route(limited)
    assert len(World(AB, [limited]).route("mine").limits) == 1


def test_calling_and_streaming() -> None:
    """Calls use the providers that can call, streams those that can stream."""
    world = World(
        [provider("a"), Provider("s", stream=chunks)],
        [Route("calls", ["a"]), Route("streams", ["s"]), Route("both", ["a", "s"])],
    )
    assert names(world, "both") == [["a"]]
    assert names(world, "both", streaming=True) == [["s"]]
    assert set(world.registry.all_routes()) == {"default", "calls", "streams", "both"}
    with pytest.raises(UsageError, match="route 'streams': none of its providers has call="):
        world.route("streams")
    with pytest.raises(UsageError, match="route 'calls': none of its providers has stream="):
        world.registry.route("calls", streaming=True)
    with pytest.raises(UsageError, match="the call's route: none of its providers has call="):
        world.route(["s"])
    assert world.registry.all_routes()["both"] is world.route("both")


# ── precedence ──────────────────────────────────────────────────────────────────────────────────


def test_route_inherits() -> None:
    """A setting that a route leaves out is the router's."""
    retry, hedge = RetryPolicy(attempts=2), HedgePolicy(after=1.0)
    world = World(
        AB, [Route("r", ["a"])], timeout=50.0, retry=retry, hedge=hedge, accept=bool, fallback="f"
    )
    route = world.route("r")
    assert (route.timeout, route.retry, route.hedge) == (50.0, retry, hedge)
    assert (route.fallback, route.stream) == ("f", world.defaults.stream)
    assert route.accept is not None
    assert (route.accept(0, {}), route.accept(1, {})) == (False, True)
    assert route.rules is world.defaults.rules


def test_route_overrides() -> None:
    """A route's own settings come first; of the rules only the kinds that it names."""
    retry, hedge = RetryPolicy(attempts=2), HedgePolicy(after=1.0)
    stream = StreamPolicy()
    mine = Route(
        "r",
        ["a"],
        timeout=5.0,
        retry=retry,
        hedge=hedge,
        stream=stream,
        accept=callable,
        fallback=0,
        rules={"server": RULES[FailureKind.TIMEOUT]},
        weights={"a": 0.5},
        retries_per_provider=2,
    )
    route = World(AB, [mine], accept=bool, fallback="f").route("r")
    assert (route.timeout, route.retry, route.hedge) == (5.0, retry, hedge)
    assert route.fallback == 0
    assert route.accept is not None
    assert (route.accept(1, {}), route.accept(bool, {})) == (False, True)
    rules = route.members[0].rules
    assert (rules.accept, rules.retries_per_provider) == (route.accept, 2)
    assert route.stream is stream
    assert route.rules == {**RULES, FailureKind.SERVER: RULES[FailureKind.TIMEOUT]}
    assert route.members[0].weight == 0.5


@pytest.mark.parametrize(
    ("own", "route", "router", "call", "seconds"),
    [
        (None, None, None, 120.0, 30.0),
        (None, None, None, 20.0, 10.0),
        (None, None, 7.0, 120.0, 7.0),
        (None, 6.0, 7.0, 120.0, 6.0),
        (5.0, 6.0, 7.0, 120.0, 5.0),
        (math.inf, 6.0, None, 120.0, math.inf),
    ],
)
def test_attempt_timeout(
    own: float | None, route: float | None, router: float | None, call: float, seconds: float
) -> None:
    """Provider, else route, else router, else 30 s or half the call's timeout."""
    world = World(
        [provider("a", attempt_timeout=own)],
        [Route("r", ["a"], attempt_timeout=route)],
        attempt_timeout=router,
        timeout=call,
    )
    assert world.member("a", "r").timeout == seconds


# ── limits, sizes, state ────────────────────────────────────────────────────────────────────────


def test_size_of_a_request() -> None:
    """The largest count of the provider's, route's and router's `size=`, at least 0."""

    def words(request: Any) -> int:
        return len(request.split())

    def characters(request: Any) -> int:
        return len(request) - 3

    tokens = LimitPolicy(tokens_per_minute=100, size=words)
    more = LimitPolicy(tokens_per_minute=100, size=characters)
    world = World([provider("a", limits=tokens)], [Route("r", ["a"], limits=more)], limits=tokens)
    route = world.route("r")
    assert set(route.sizes) == {words, characters}
    assert route.size_of("two words") == 6
    assert route.size_of("a") == 1
    assert route.size_of("") == 0
    assert World(AB, limits=LimitPolicy(in_flight=1)).route().sizes == ()


def test_limits_outlive_a_change() -> None:
    """Case 88: the route's and router's limits keep their counts when providers change."""
    limited = Route("r", ["a"], limits=LimitPolicy(in_flight=5))
    world = World(AB, [limited], limits=LimitPolicy(in_flight=9))
    before = world.route("r").limits
    world.next_attempt(world.plan("r"))
    world.configure([*AB, provider("c")], [limited])
    assert world.route("r").limits == before
    assert [shared.in_flight for shared in before] == [1, 1]


def test_gates_and_latencies_outlive_a_change() -> None:
    """Case 88: a provider that stays keeps its circuit and latencies; a removed one does not."""
    world = World(AB, circuit=CircuitPolicy(failures=1))
    world.trip("a")
    latency = world.member("a").latency
    world.configure([provider("a", weight=7), provider("b")])
    assert (world.member("a").weight, world.member("a").latency) == (7.0, latency)
    assert not world.member("a").gate.circuit.is_closed
    removed = world.states.gates["a"]
    world.configure([provider("b")])
    world.states.remove_provider("a")
    assert removed.removed
    world.configure(AB)
    assert world.member("a").gate is not removed
    assert world.member("a").latency is not latency
    assert world.member("b").latency.group is world.member("a").latency.group


def test_plan_keeps_its_configuration() -> None:
    """Case 88: a call continues with the providers and weights that it started with."""
    world = World(AB, [Route("chain", ["a", "b"])])
    plan = world.plan("chain")
    world.fail(plan, world.next_attempt(plan))
    world.configure([provider("a"), provider("c")], [Route("chain", ["a", "c"])])
    world.states.remove_provider("b")
    assert world.run_attempts(plan, "ok") == ["b"]
    assert world.run_attempts(world.plan("chain"), "server", "ok") == ["a", "c"]


def test_shift_to_another_clock() -> None:
    """A shift moves the rest of every cooldown and rate to the other clock, unchanged."""
    world = World(
        [provider("a"), provider("b", limits=LimitPolicy(requests_per_minute=6.0, burst=0.1))],
        [Route("r", ["a"], limits=LimitPolicy(requests_per_minute=6.0, burst=0.1))],
    )
    world.run_call("b", "rate_limit")
    world.next_attempt(world.plan("r"))
    waits = [gate.ready_in(world.now) for gate in world.states.gates.values()]
    (shared,) = world.route("r").limits
    left = shared.ready_in(0, world.now)
    world.states.shift(1000.0)
    world.now += 1000.0
    assert [gate.ready_in(world.now) for gate in world.states.gates.values()] == pytest.approx(
        waits
    )
    assert shared.ready_in(0, world.now) == pytest.approx(left)
    assert left


def test_stream_timeouts() -> None:
    """Streams: the provider's first_token, its attempt_timeout, the policy's, then the router's."""
    stream = StreamPolicy(first_token=4.0, idle=9.0)
    world = World(
        [
            Provider("p", stream=chunks, first_token=3.0, attempt_timeout=8.0, idle=2.0),
            Provider("q", stream=chunks, attempt_timeout=8.0),
            Provider("r", stream=chunks),
        ],
        [Route("r", ["p", "q", "r"], stream=stream)],
    )
    members = world.registry.route("r", streaming=True).members
    assert [member.timeout for member in members] == [3.0, 8.0, 4.0]
    assert [member.idle for member in members] == [2.0, 9.0, 9.0]
    calls = World([provider("p", attempt_timeout=8.0, first_token=3.0)])
    assert (calls.member("p").timeout, calls.member("p").idle) == (8.0, math.inf)


def test_limits_that_a_fleet_shares_are_listed_by_name() -> None:
    """Of providers, routes and the router; what a process learns alone is not among them."""
    rate, bulkhead = LimitPolicy(requests_per_minute=60.0), LimitPolicy(in_flight=1)
    learned = LimitPolicy(learn=True)
    world = World(
        [provider("a", limits=rate), provider("b", limits=bulkhead), provider("c", limits=learned)],
        [Route("fast", ["a"], limits=rate), Route("slow", ["b"])],
        limits=rate,
    )
    names = [name for name, _ in world.states.shared_limits()]
    assert sorted(names) == ["provider a", "provider b", "route fast", "router"]
    world.states.diversion("fast")
    world.states.shift(5.0)
    alone = World([provider("a")], [Route("r", ["a"], limits=LimitPolicy())])
    assert list(alone.states.shared_limits()) == []
