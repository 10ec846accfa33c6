"""Diversions: calls that are not answered by the first choice of their route, for a while."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.events import RouteDiverted
from multirouter.core.introspection import explain, snapshot
from multirouter.core.routes.diversion import MIN_CALLS, MIN_SECONDS, Diversion
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, HealthPolicy, HedgePolicy, LimitPolicy
from multirouter.model import CallOutcome
from tests.core.kit import World, calm, provider


def answered(world: World, route: Any = "chain", *failures: str) -> CallOutcome[Any]:
    """The reported outcome of a call that is answered after these failures."""
    plan = world.plan(route)
    world.run_attempts(plan, *failures, "ok")
    return world.next_outcome(plan)


def events(world: World) -> list[RouteDiverted]:
    return [event for _, event in world.recorder.events if isinstance(event, RouteDiverted)]


# ── which calls the first choice served ───────────────────────────────────────────────────────────


def test_a_call_is_served_by_the_first_choice() -> None:
    """Of the first tier, whichever of its providers was chosen, also after a retry there."""
    world = calm("a", "b", "c", routes=[Route("chain", [["a", "b"], "c"])])
    for _ in range(10):
        outcome = answered(world)
        assert outcome.served_by_first_choice
        assert outcome.first_choice == {"a", "b"}
    world = calm("a", "b", routes=[Route("chain", ["a", "b"], retries_per_provider=1)])
    outcome = answered(world, "chain", "server")
    assert [record.provider for record in outcome.attempts] == ["a", "a"]
    assert outcome.served_by_first_choice


def test_a_call_that_failed_over_is_not() -> None:
    """Also when the other provider is of the same tier."""
    world = calm("a", "b", "c", routes=[Route("chain", [["a", "b"], "c"])])
    assert not answered(world, "chain", "server").served_by_first_choice
    assert not answered(world, "chain", "server", "server").served_by_first_choice


@pytest.mark.parametrize("why", ["open", "cooldown", "held", "limit", "degraded"])
def test_a_call_that_began_elsewhere_is_not(why: str) -> None:
    """Whatever the reason: none of these calls fails over."""
    limits = LimitPolicy(in_flight=1) if why == "limit" else None
    world = World(
        [provider("a", limits=limits), provider("b")],
        [Route("chain", ["a", "b"])],
        circuit=CircuitPolicy(failures=5, growth=1),
    )
    if why == "open":
        world.trip("a")
    elif why == "cooldown":
        world.run_call("a", "rate_limit")
    elif why == "held":
        world.states.gates["a"].set_hold("open", world.now)
    elif why == "limit":
        world.next_attempt(world.plan("chain"))
    else:
        for number in range(20):
            health = world.member("a", "chain").health
            (health.record_failure if number % 3 else health.record_success)(world.now)
    outcome = answered(world)
    assert (outcome.provider, outcome.failovers) == ("b", 0)
    assert not outcome.served_by_first_choice


def test_a_hedge_that_wins_is_not_the_first_choice() -> None:
    """The first choice was too slow to answer this call."""
    world = calm("a", "b", routes=[Route("pair", [["a", "b"]], hedge=HedgePolicy(after=1.0))])
    plan = world.plan("pair")
    slow = world.next_attempt(plan)
    hedge = plan.hedge(slow, world.now + 1.0)
    assert hedge is not None
    world.succeed(plan, hedge, after=2.0)
    world.cancel(plan, slow)
    assert not world.next_outcome(plan).served_by_first_choice


def test_a_call_without_an_answer_is_served_by_none() -> None:
    """A failure, and the answer of `fallback=`."""
    world = calm("a", routes=[Route("chain", ["a"])])
    plan = world.plan("chain")
    world.run_attempts(plan, "request")
    assert not world.next_outcome(plan).served_by_first_choice
    assert not plan.fall_back("substitute", world.now).served_by_first_choice


# ── the beginning and the end ─────────────────────────────────────────────────────────────────────


def test_a_diversion_begins_and_ends_once() -> None:
    """Both are reported with the providers, the reason and the times."""
    world = World(
        [provider("a"), provider("b")],
        [Route("chain", ["a", "b"])],
        circuit=CircuitPolicy(failures=1, growth=1),
    )
    for number in range(60):
        if number == 10:
            world.states.gates["a"].set_hold("open", world.now)
            began = world.now
        if number == 40:
            world.states.gates["a"].set_hold("closed", world.now)
            ended = world.now
        answered(world)
        world.now += 3.0
    assert events(world) == [
        RouteDiverted("tested", "chain", True, "b", ("a",), "a held open", began, began + 12.0),
        RouteDiverted("tested", "chain", False, "a", ("a",), "", began, ended + 12.0),
    ]


def test_a_single_failover_is_no_diversion() -> None:
    """Nor are a few in a row, nor many at the same moment, nor every second call."""
    never_degraded = HealthPolicy(min_success_rate=0.0)
    world = calm("a", "b", routes=[Route("chain", ["a", "b"])], health=never_degraded)
    for _ in range(3):
        for _ in range(MIN_CALLS - 1):
            answered(world, "chain", "server")
            world.now += MIN_SECONDS
        answered(world)
    for _ in range(50):
        answered(world, "chain", "server")
    for number in range(100):
        answered(world, "chain", *["server"] * (number % 2))
        world.now += 1.0
    assert events(world) == []


def test_calls_with_a_route_of_their_own_have_no_diversion() -> None:
    """A route passed with a call has no memory."""
    world = calm("a", "b")
    for _ in range(20):
        answered(world, ["a", "b"], "server")
        world.now += 3.0
    assert events(world) == []


def test_explain_and_snapshot_show_it() -> None:
    """Since when, who answers, and who should; `snapshot` likewise."""
    world = calm("a", "b", routes=[Route("chain", ["a", "b"])])
    for _ in range(10):
        answered(world)
    world.states.gates["a"].set_hold("open", world.now)
    for _ in range(30):
        answered(world)
        world.now += 1.0
    explained = explain(world.route("chain"), world.now)
    assert explained.diverted_for == 30.0
    assert [status.answers for (status,) in explained.tiers] == [0.25, 0.75]
    assert str(explained) == (
        "route 'chain', not answered by its first choice for 30 s\n"
        "  tier 1\n"
        "    a    0.0%  answered  25.0%  held open\n"
        "  tier 2\n"
        "    b  100.0%  answered  75.0%  closed"
    )
    state = snapshot("r", world.registry.all_routes(), world.now)["routes"]["chain"]
    assert (state["first_choice"], state["diverted_for"]) == (["a"], 30.0)
    assert [member["answers"] for (member,) in state["tiers"]] == [0.25, 0.75]
    world.now += 1000.0  # answers that are too old count no more
    assert [s.answers for (s,) in explain(world.route("chain"), world.now).tiers] == [None, None]


def test_a_diversion_survives_reconfiguration_and_another_loop() -> None:
    """It belongs to the name of the route; its times move to the other clock."""
    world = calm("a", "b", routes=[Route("chain", ["a", "b"])])
    world.states.gates["a"].set_hold("open", world.now)
    for _ in range(10):
        answered(world)
        world.now += 3.0
    world.configure(world.providers, world.routes)
    world.states.shift(5000.0)
    world.now += 5000.0
    assert explain(world.route("chain"), world.now).diverted_for == 30.0


def test_the_diversion_of_a_removed_route_ends() -> None:
    """So that no gauge and no log shows it for ever."""
    world = calm("a", "b", routes=[Route("chain", ["a", "b"])])
    world.states.gates["a"].set_hold("open", world.now)
    for _ in range(10):
        answered(world)
        world.now += 3.0
    world.states.keep_routes(["chain", "other"], world.now)
    world.states.keep_routes(["other"], world.now)
    world.states.keep_routes([], world.now)
    world.context.dispatcher.deliver()
    assert [(event.route, event.diverted) for event in events(world)] == [
        ("chain", True),
        ("chain", False),
    ]


def test_pending_calls_are_forgotten() -> None:
    """One call as expected begins the count anew."""
    diversion = Diversion()
    for number in range(MIN_CALLS - 1):
        assert not diversion.record(number * MIN_SECONDS, by_first_choice=False)
    assert not diversion.record(100.0, by_first_choice=True)
    assert diversion.pending == 0
    assert not diversion.record(200.0, by_first_choice=False)
    assert diversion.pending == 1
