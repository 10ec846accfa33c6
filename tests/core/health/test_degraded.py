"""When a provider counts as degraded, what that changes, and how it ends."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.health.degraded import HEALTHY, LEAST_CALLS, WINDOW, HealthWindow
from multirouter.core.introspection import explain, snapshot
from multirouter.core.registry.provider_state import ProviderStates
from multirouter.core.routes.route import Route
from multirouter.core.settings.failure_rules import CircuitEffect, Failover, Retry, Rule
from multirouter.core.settings.policies import CircuitPolicy
from multirouter.model import FailureKind
from tests.core.kit import World, calm, provider


def ail(world: World, name: str, route: str = "default") -> None:
    """Makes a provider degraded on a route: six of twenty attempts fail, never two in a row."""
    member = world.member(name, route)
    for attempt in range(LEAST_CALLS):
        if attempt % 3 == 0 and attempt < 18:
            member.health.failed(world.now)
        else:
            member.health.answered(world.now)
    assert member.health.degraded


@given(st.lists(st.sampled_from([True, True, True, True, False]), min_size=18, max_size=60))
def test_degraded_is_a_share_of_enough_attempts(outcomes: list[bool]) -> None:
    """Under 80 % success of at least 20 attempts, and never otherwise; each change is told."""
    revision = ChangeCounter()
    health = HealthWindow(revision)
    changes, was = 0, False
    for number, fine in enumerate(outcomes, 1):
        health.answered(5.0) if fine else health.failed(5.0)
        share = sum(outcomes[:number]) / number
        assert health.degraded is (number >= LEAST_CALLS and share < HEALTHY - 1e-12)
        changes += health.degraded is not was
        was = health.degraded
        assert revision.value == changes
        assert health.success_rate == pytest.approx(share)


def test_the_bound_is_still_well() -> None:
    """Exactly 80 % of 20 is well; one failure more is not."""
    health = HealthWindow(ChangeCounter())
    for _ in range(16):
        health.answered(0.0)
    for _ in range(4):
        health.failed(0.0)
    assert not health.degraded
    health.failed(0.0)
    assert health.degraded


def test_nothing_is_known_of_nobody() -> None:
    """Without attempts there is no success rate."""
    assert HealthWindow(ChangeCounter()).success_rate is None


def test_degraded_ones_are_asked_last() -> None:
    """All healthy tiers come before the first degraded one; nobody is cut off."""
    world = calm("a", "b", "c", routes=[Route("chain", ["a", "b", "c"])])
    ail(world, "a", "chain")
    plan = world.plan("chain")
    assert world.asked(plan, "server", "server", "ok") == ["b", "c", "a"]
    why = plan.attempts[-1].why
    assert why == "failover from c (server); only one"
    assert plan.attempts[0].why == "only one"


def test_who_was_passed_over_is_told() -> None:
    """The trail says that somebody was passed over because he is degraded."""
    world = calm("a", "b")
    ail(world, "a")
    assert world.trying(world.plan()).why == "only one; passed over: a degraded"


def test_when_all_are_degraded_weights_decide() -> None:
    """Who is degraded is drawn by weight among his like, as if all were well."""
    world = calm("a", "b")
    ail(world, "a")
    ail(world, "b")
    step = world.trying(world.plan())
    assert step.why == "degraded, drawn by weight among 2"
    table = world.route().tiers[0].table(world.now)
    assert [table.share(member) for member in world.route().members] == [0.5, 0.5]


def test_a_healthy_reserve_comes_before_the_degraded() -> None:
    """Weight 0 serves when all others of the tier are out or degraded."""
    world = World([provider("a"), provider("spare", weight=0)])
    ail(world, "a")
    assert world.trying(world.plan()).member.name == "spare"


def test_health_is_the_routes_own() -> None:
    """Degraded on one route, a provider is well on another."""
    world = calm("a", "b", routes=[Route("one", ["a", "b"]), Route("other", ["a", "b"])])
    ail(world, "a", "one")
    assert world.trying(world.plan("one")).member.name == "b"
    assert world.trying(world.plan("other")).member.name == "a"
    assert world.memory.degraded("a", world.now)
    assert not world.memory.degraded("b", world.now)


def test_time_alone_ends_it() -> None:
    """Who is not asked for the whole window is asked as everybody again."""
    world = calm("a", "b", routes=[Route("chain", ["a", "b"])])
    ail(world, "a", "chain")
    assert world.trying(world.plan("chain")).member.name == "b"
    world.now += WINDOW
    assert world.trying(world.plan("chain")).member.name == "a"


def test_successes_end_it() -> None:
    """When the share is up again, so is the provider's place."""
    world = calm("a", "b")
    ail(world, "a")
    health = world.member("a").health
    for _ in range(20):
        health.answered(world.now)
    assert not health.degraded
    assert len(world.route().tiers[0].table(world.now).healthy.members) == 2


def test_a_circuit_that_closes_again_begins_anew() -> None:
    """What a provider failed before its circuit recovered is not held against it."""
    circuit = CircuitPolicy(failures=1, growth=1, open_duration=5.0)
    world = World([provider("a"), provider("b")], circuit=circuit)
    ail(world, "a")
    world.half_open("a")
    world.hit("a", "success")
    world.route().tiers[0].table(world.now)
    health = world.member("a").health
    assert (health.calls, health.degraded) == (0, False)


@pytest.mark.parametrize(
    ("kind", "counted"),
    [("server", 1), ("timeout", 1), ("credentials", 1), ("rate_limit", 0), ("request", 0)],
)
def test_what_counts(kind: str, counted: int) -> None:
    """What the circuit takes for a failure is one here; 429s and faulty requests are none."""
    world = calm("a", "b", routes=[Route("only", ["a"])])
    plan = world.plan("only")
    world.fails(plan, world.trying(plan), kind)
    assert world.member("a", "only").health.failures == counted


def test_cancelled_attempts_say_nothing() -> None:
    """A caller who left neither adds nor takes."""
    world = calm("a", routes=[Route("only", ["a"])])
    plan = world.plan("only")
    world.cancelled(plan, world.trying(plan))
    assert world.member("a", "only").health.calls == 0


def test_what_is_held_is_not_judged() -> None:
    """Held closed, a degraded provider keeps its place."""
    world = calm("a", "b", routes=[Route("chain", ["a", "b"])])
    world.memory.gates["a"].hold_by_hand("disabled", world.now)
    ail(world, "a", "chain")
    assert world.trying(world.plan("chain")).member.name == "a"


def test_it_is_shown() -> None:
    """`explain` and `snapshot` tell who is degraded, and by which share of how many."""
    world = calm("a", "b")
    ail(world, "a")
    told = explain(world.route(), world.now)
    assert told.tiers[0][0].state == "closed, degraded (70% of 20 succeeded)"
    (seat, other) = snapshot("r", world.roster.all_routes(), world.now)["routes"]["default"][
        "tiers"
    ][0]
    assert (seat["degraded"], seat["recent_calls"]) == (True, 20)
    assert seat["success_rate"] == pytest.approx(0.7)
    assert (other["degraded"], other["success_rate"]) == (False, None)


def test_it_moves_with_the_loop() -> None:
    """On another loop's clock the window holds what it held."""
    world = calm("a", "b")
    ail(world, "a")
    world.memory.shift(5000.0)
    world.now += 5000.0
    assert world.trying(world.plan()).member.name == "b"


def test_panic_asks_everybody() -> None:
    """When too few circuits are closed, health is ignored with them."""
    circuit = CircuitPolicy(failures=1, growth=1, open_duration=5.0)
    world = World([provider("a"), provider("b")], circuit=circuit, panic=1.0)
    ail(world, "a")
    world.trip("b")
    table = world.route().tiers[0].table(world.now)
    assert table.panic_started
    assert table.degraded is None
    assert len(table.healthy.members) == 2


def test_trials_go_beside_a_degraded_answer() -> None:
    """A half-open circuit gets its copy also when only degraded providers are left."""
    circuit = CircuitPolicy(failures=1, growth=1, open_duration=5.0)
    world = World([provider("a"), provider("b")], circuit=circuit)
    ail(world, "a")
    world.half_open("b")
    step = world.trying(world.plan())
    assert step.member.name == "a"
    assert [copy.member.name for copy in step.copies] == ["b"]


def test_a_rule_may_count_an_error_as_success() -> None:
    """An error that proves the provider to be alive, by a rule of the user's, is one here too."""
    alive = Rule(
        retry=Retry.NEVER,
        failover=Failover.AT_ONCE,
        circuit=CircuitEffect.SUCCESS,
        side_effects_possible=False,
    )
    world = calm("a", "b", routes=[Route("only", ["a"], rules={FailureKind.NOT_FOUND: alive})])
    plan = world.plan("only")
    world.fails(plan, world.trying(plan), "not_found")
    assert world.member("a", "only").health.success_rate == 1.0


def test_hooks_are_told_of_over_the_wire() -> None:
    """Where nobody else is named, a broken hook is reported as a broken listener is."""
    told: list[Exception] = []
    dispatcher = EventDispatcher([], lambda hook, error: told.append(error))
    error = ValueError("slip")
    ProviderStates("r", dispatcher, Random(1), calm("a").memory.ledger).hook_broken(print, error)
    assert told == [error]
