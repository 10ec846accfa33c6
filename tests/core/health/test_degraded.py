"""Degraded providers: when they are, what that changes, and how it ends."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.health.degraded import HealthWindow
from multirouter.core.introspection import explain, snapshot
from multirouter.core.registry.provider_state import ProviderStates
from multirouter.core.routes.route import Route
from multirouter.core.settings.failure_rules import CircuitEffect, Failover, Retry, Rule
from multirouter.core.settings.policies import CircuitPolicy, HealthPolicy
from multirouter.model import FailureKind
from tests.core.kit import World, calm, provider

DEFAULTS = HealthPolicy()


def degrade(world: World, name: str, route: str = "default") -> None:
    """Makes a provider degraded on a route: six of twenty attempts fail, never two in a row."""
    member = world.member(name, route)
    for attempt in range(DEFAULTS.minimum_calls):
        if attempt % 3 == 0 and attempt < 18:
            member.health.record_failure(world.now)
        else:
            member.health.record_success(world.now)
    assert member.health.degraded


@given(st.lists(st.sampled_from([True, True, True, True, False]), min_size=18, max_size=60))
def test_degraded_is_a_share_of_enough_attempts(outcomes: list[bool]) -> None:
    """Below 80 % success, the attempts missing to 20 counted as successes; changes are reported."""
    revision = ChangeCounter()
    health = HealthWindow(DEFAULTS, revision)
    changes, before = 0, False
    for number, succeeded in enumerate(outcomes, 1):
        health.record_success(5.0) if succeeded else health.record_failure(5.0)
        share = sum(outcomes[:number]) / number
        failures = number - sum(outcomes[:number])
        assert health.degraded is (failures / max(20, number) > 0.2 + 1e-12)
        changes += health.degraded is not before
        before = health.degraded
        assert revision.value == changes
        assert health.success_rate == pytest.approx(share)


def test_the_lowest_healthy_rate_is_healthy() -> None:
    """Exactly 80 % of 20 is healthy; one failure more is not."""
    health = HealthWindow(DEFAULTS, ChangeCounter())
    for _ in range(16):
        health.record_success(0.0)
    for _ in range(4):
        health.record_failure(0.0)
    assert not health.degraded
    health.record_failure(0.0)
    assert health.degraded


def test_five_failures_are_enough_where_calls_are_rare() -> None:
    """Even if all attempts missing to `minimum_calls` had succeeded, the share would be too low."""
    health = HealthWindow(DEFAULTS, ChangeCounter())
    for _ in range(4):
        health.record_failure(0.0)
    assert not health.degraded
    health.record_failure(0.0)
    assert health.degraded


def test_rejected_answers_count_for_their_route() -> None:
    """`accept=` leaves the circuit alone; the provider is attempted last on this route only."""
    world = World(
        [provider("a"), provider("b")],
        [Route("strict", ["a", "b"]), Route("plain", ["a", "b"])],
    )
    member = world.member("a", "strict")
    for _ in range(5):
        member.record_failure(FailureKind.INVALID, CircuitEffect.NEUTRAL, 1.0, world.now)
    assert member.degraded
    assert member.gate.circuit.is_closed
    assert not world.member("a", "plain").degraded


def test_no_success_rate_without_attempts() -> None:
    """Without attempts there is no success rate."""
    assert HealthWindow(DEFAULTS, ChangeCounter()).success_rate is None


def test_the_policy_sets_window_and_thresholds() -> None:
    """Three attempts, a third of them failed, within ten seconds; other values, other results."""
    policy = HealthPolicy(window=10.0, minimum_calls=3, min_success_rate=0.7)
    health = HealthWindow(policy, ChangeCounter())
    found = []
    for record in (health.record_success, health.record_failure):
        record(0.0)
        found.append(health.degraded)
    health.refresh(10.0, 0)
    found.append(health.degraded)
    assert found == [False, True, False], "a third of the three that count"
    never = HealthWindow(HealthPolicy(min_success_rate=0.0), ChangeCounter())
    for _ in range(50):
        never.record_failure(0.0)
    assert not never.degraded


def test_a_new_policy_applies_at_once() -> None:
    """Changed thresholds judge the attempts so far; a window of another length begins empty."""
    revision = ChangeCounter()
    health = HealthWindow(DEFAULTS, revision)
    for _ in range(4):
        health.record_success(0.0)
    health.record_failure(0.0)
    before = health.degraded
    health.apply(HealthPolicy(minimum_calls=5, min_success_rate=0.9))
    assert (before, health.degraded) == (False, True)
    assert revision.value == 1
    health.apply(HealthPolicy(minimum_calls=5, min_success_rate=0.9, window=60.0))
    assert not health.degraded
    assert health.calls == 0
    assert revision.value == 2
    health.apply(HealthPolicy(minimum_calls=5, min_success_rate=0.9, window=60.0))
    assert revision.value == 2


def test_the_routers_policy_reaches_every_route() -> None:
    """`health=` of the router decides when its providers are degraded, also after a change."""
    world = World([provider("a"), provider("b")], health=HealthPolicy(minimum_calls=1))
    world.member("a").health.record_failure(world.now)
    assert world.member("a").health.degraded
    world.defaults = world.defaults._replace(health=DEFAULTS)
    world.configure(world.providers)
    assert not world.member("a").health.degraded


def test_degraded_providers_are_attempted_last() -> None:
    """All healthy tiers come before the first degraded provider; none is excluded."""
    world = calm("a", "b", "c", routes=[Route("chain", ["a", "b", "c"])])
    degrade(world, "a", "chain")
    plan = world.plan("chain")
    assert world.run_attempts(plan, "server", "server", "ok") == ["b", "c", "a"]
    why = plan.attempts[-1].why
    assert why == "failover from c (server); only candidate"
    assert plan.attempts[0].why == "only candidate"


def test_why_names_skipped_degraded_providers() -> None:
    """The trail names the degraded providers that were skipped."""
    world = calm("a", "b")
    degrade(world, "a")
    assert world.next_attempt(world.plan()).why == "only candidate; skipped: a degraded"


def test_when_all_are_degraded_weights_decide() -> None:
    """Degraded providers share by weight among themselves."""
    world = calm("a", "b")
    degrade(world, "a")
    degrade(world, "b")
    step = world.next_attempt(world.plan())
    assert step.why == "degraded, chosen by weight among 2"
    table = world.route().tiers[0].table(world.now)
    assert [table.share(member) for member in world.route().members] == [0.5, 0.5]


def test_a_healthy_reserve_comes_before_degraded_providers() -> None:
    """Weight 0 serves when all others of the tier are unavailable or degraded."""
    world = World([provider("a"), provider("spare", weight=0)])
    degrade(world, "a")
    assert world.next_attempt(world.plan()).member.name == "spare"


def test_health_belongs_to_a_route() -> None:
    """Degraded on one route, a provider is healthy on another."""
    world = calm("a", "b", routes=[Route("one", ["a", "b"]), Route("other", ["a", "b"])])
    degrade(world, "a", "one")
    assert world.next_attempt(world.plan("one")).member.name == "b"
    assert world.next_attempt(world.plan("other")).member.name == "a"
    assert world.states.degraded("a", world.now)
    assert not world.states.degraded("b", world.now)


def test_degraded_ends_with_the_window() -> None:
    """A provider without attempts for the whole window is attempted as before."""
    world = calm("a", "b", routes=[Route("chain", ["a", "b"])])
    degrade(world, "a", "chain")
    assert world.next_attempt(world.plan("chain")).member.name == "b"
    world.now += DEFAULTS.window
    assert world.next_attempt(world.plan("chain")).member.name == "a"


def test_degraded_ends_with_successes() -> None:
    """When the success rate is high enough again, the provider gets its place back."""
    world = calm("a", "b")
    degrade(world, "a")
    health = world.member("a").health
    for _ in range(20):
        health.record_success(world.now)
    assert not health.degraded
    assert len(world.route().tiers[0].table(world.now).healthy.members) == 2


def test_a_circuit_that_closes_again_clears_the_window() -> None:
    """Failures of before the recovery do not count."""
    circuit = CircuitPolicy(failures=1, growth=1, open_duration=5.0)
    world = World([provider("a"), provider("b")], circuit=circuit)
    degrade(world, "a")
    world.half_open("a")
    world.run_call("a", "success")
    world.route().tiers[0].table(world.now)
    health = world.member("a").health
    assert (health.calls, health.degraded) == (0, False)


@pytest.mark.parametrize(
    ("kind", "counted"),
    [("server", 1), ("timeout", 1), ("credentials", 1), ("rate_limit", 0), ("request", 0)],
)
def test_what_counts_as_a_failure(kind: str, counted: int) -> None:
    """What the circuit counts as a failure counts here; 429s and invalid requests do not."""
    world = calm("a", "b", routes=[Route("only", ["a"])])
    plan = world.plan("only")
    world.fail(plan, world.next_attempt(plan), kind)
    assert world.member("a", "only").health.failures == counted


def test_cancelled_attempts_do_not_count() -> None:
    """A cancelled call counts neither as a success nor as a failure."""
    world = calm("a", routes=[Route("only", ["a"])])
    plan = world.plan("only")
    world.cancel(plan, world.next_attempt(plan))
    assert world.member("a", "only").health.calls == 0


def test_a_held_provider_is_never_degraded() -> None:
    """With a hold, a provider with failures keeps its place."""
    world = calm("a", "b", routes=[Route("chain", ["a", "b"])])
    world.states.gates["a"].set_hold("disabled", world.now)
    degrade(world, "a", "chain")
    assert world.next_attempt(world.plan("chain")).member.name == "a"


def test_explain_and_snapshot_show_it() -> None:
    """They show which providers are degraded, with success rate and number of calls."""
    world = calm("a", "b")
    degrade(world, "a")
    explained = explain(world.route(), world.now)
    assert explained.tiers[0][0].state == "closed, degraded (70% of 20 calls succeeded)"
    (seat, other) = snapshot("r", world.registry.all_routes(), world.now)["routes"]["default"][
        "tiers"
    ][0]
    assert (seat["degraded"], seat["recent_calls"]) == (True, 20)
    assert seat["success_rate"] == pytest.approx(0.7)
    assert (other["degraded"], other["success_rate"]) == (False, None)


def test_shift_keeps_the_window() -> None:
    """On another loop's clock the window holds what it held."""
    world = calm("a", "b")
    degrade(world, "a")
    world.states.shift(5000.0)
    world.now += 5000.0
    assert world.next_attempt(world.plan()).member.name == "b"


def test_panic_ignores_health() -> None:
    """When too few circuits are closed, health is ignored with them."""
    circuit = CircuitPolicy(failures=1, growth=1, open_duration=5.0)
    world = World([provider("a"), provider("b")], circuit=circuit, panic=1.0)
    degrade(world, "a")
    world.trip("b")
    table = world.route().tiers[0].table(world.now)
    assert table.panic
    assert table.degraded is None
    assert len(table.healthy.members) == 2


def test_trials_run_beside_a_degraded_provider() -> None:
    """A half-open circuit gets its trial also when only degraded providers are left."""
    circuit = CircuitPolicy(failures=1, growth=1, open_duration=5.0)
    world = World([provider("a"), provider("b")], circuit=circuit)
    degrade(world, "a")
    world.half_open("b")
    step = world.next_attempt(world.plan())
    assert step.member.name == "a"
    assert [trial.member.name for trial in step.trials] == ["b"]


def test_a_rule_may_count_an_error_as_success() -> None:
    """By a rule of the user's: an error that shows that the provider works."""
    alive = Rule(
        retry=Retry.NEVER,
        failover=Failover.AT_ONCE,
        circuit=CircuitEffect.SUCCESS,
        side_effects_possible=False,
    )
    world = calm("a", "b", routes=[Route("only", ["a"], rules={FailureKind.NOT_FOUND: alive})])
    plan = world.plan("only")
    world.fail(plan, world.next_attempt(plan), "not_found")
    assert world.member("a", "only").health.success_rate == 1.0


def test_hook_errors_go_to_the_dispatcher_by_default() -> None:
    """Without another handler, a failing hook is reported as a failing listener is."""
    reported: list[Exception] = []
    dispatcher = EventDispatcher([], lambda hook, error: reported.append(error))
    error = ValueError("slip")
    ProviderStates("r", dispatcher, Random(1), calm("a").states.accounts).on_hook_error(
        print, error
    )
    assert reported == [error]
