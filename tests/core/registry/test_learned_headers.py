"""State of providers: what headers teach, what a fleet shares, and which diversions end."""

from __future__ import annotations

from collections.abc import Callable

from multirouter.core.cost.budget import Budget
from multirouter.core.cost.price import Price
from multirouter.core.events import RouteDiverted
from multirouter.core.routes.chain import Chain, Target
from multirouter.core.routes.route import Route
from multirouter.core.settings.operation import Operation
from multirouter.core.settings.policies import LimitPolicy
from tests.core.kit import World, provider

HEADERS = {"X-RateLimit-Remaining-Requests": "0", "X-RateLimit-Reset-Requests": "30"}


def learning() -> World:
    """A provider that learns its limits, beside one that does not."""
    world = World([provider("a", limits=LimitPolicy(learn=True)), provider("b")])
    world.states.now = lambda: world.now
    world.states.wall = lambda: world.wall
    return world


def test_headers_teach_the_limits_of_their_provider() -> None:
    """At once where there is no loop; the low limit is reported with its time."""
    world, reported = learning(), []
    world.states.on_low_limit = lambda *low: reported.append(low)
    assert world.states.gates["a"].ready_in(world.now) == 0.0
    world.states.observe_headers("a", "m", HEADERS)
    wait = world.states.gates["a"].ready_in(world.now)
    assert wait is not None
    assert 0.0 < wait <= 31.0
    assert reported == [("a", "m", world.now)]
    world.states.observe_headers("b", "m", HEADERS)
    world.states.observe_headers("unknown", "m", HEADERS)
    assert world.states.gates["b"].ready_in(world.now) == 0.0
    assert len(reported) == 1


def test_headers_are_learned_in_the_loop() -> None:
    """They are read where they come from: their object may not be used in another thread."""
    world = learning()
    waiting: list[Callable[[], object]] = []
    world.states.in_loop = waiting.append
    world.states.observe_headers("a", "m", dict(HEADERS))
    assert world.states.gates["a"].ready_in(world.now) == 0.0
    (learn,) = waiting
    learn()
    assert world.states.gates["a"].ready_in(world.now) != 0.0


def test_limits_that_a_fleet_shares() -> None:
    """By their owner; a provider without limits has none."""
    rates = LimitPolicy(requests_per_minute=60.0)
    world = World(
        [provider("a", limits=rates), provider("b", limits=rates), provider("c")],
        [Route("r", ["a"], limits=rates), Route("plain", ["b"])],
        limits=rates,
    )
    assert sorted(name for name, _ in world.states.shared_limits()) == [
        "provider a",
        "provider b",
        "route r",
        "router",
    ]


def test_the_diversion_of_a_removed_route_ends() -> None:
    """If it was reported; those of the other routes go on."""
    world = World([provider("a")])
    for name in ("gone", "quiet", "kept"):
        diversion = world.states.diversion(name)
        diversion.active = name != "quiet"
        diversion.since = 40.0
    kept = world.states.diversion("kept")
    world.states.keep_routes({"kept"}, 70.0)
    world.context.dispatcher.deliver()
    expected = RouteDiverted("tested", "gone", False, "", (), "", 40.0, 70.0)
    assert world.recorder.of("route_diverted") == [expected]
    assert world.states.diversion("kept") is kept
    assert not world.states.diversion("gone").active


def test_the_state_of_a_removed_route_is_dropped() -> None:
    """Also that of its operations; other routes, the router and calls with own routes keep it."""
    rates, spending = LimitPolicy(requests_per_minute=60.0), Budget(5)

    async def embed(request: object) -> object:
        return request

    a = provider("a", price=Price(1, 1), operations={"embeddings": Operation(embed)})
    fast = {"strategy": "fastest", "limits": rates, "budget": spending}
    names = ("kept", "kept too", "gone")
    world = World([a], [Route(name, ["a"], **fast) for name in names], limits=rates)
    for name in (*names, ["a"]):
        world.registry.route(name)
    for name in names:
        world.registry.route(Chain([Target(name, "m")], operation="embeddings"))
    states = world.states
    stores = states._latencies, states._healths, states._latency_averages
    states.keep_routes({"kept", "kept too"}, world.now)
    for store in stores:
        assert {place[0] for place, _ in store} >= {"kept", "kept too"}
        assert {place[0] for place, _ in store} <= {"kept", "kept too", "adhoc"}
    assert {place[0] for place, _ in states._latencies} == {"kept", "kept too", "adhoc"}
    assert [name for name, _ in states.shared_limits()] == [
        "router",
        "route kept",
        "route kept too",
    ]
    assert sorted(states.accounts.by_owner) == ["route kept", "route kept too"]


def test_the_clocks_begin_at_0() -> None:
    """Until a router sets them."""
    states = World([provider("a")]).states
    assert (states.now(), states.wall(), states.on_low_limit) == (0.0, 0.0, None)
