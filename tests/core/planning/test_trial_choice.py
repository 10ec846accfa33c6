"""Which call makes a trial, which joins one, and what the last candidate's timeout is."""

from __future__ import annotations

import pytest

from multirouter.core.cost.price import Price
from multirouter.core.health.latency_tracker import LatencyTracker
from multirouter.core.limits.retry_budget import RetryBudget
from multirouter.core.planning.admission import HOLDS_PROMPT
from multirouter.core.planning.retrying import RetryState
from multirouter.core.routes.route import Route
from multirouter.core.selection.sticky import Sticky
from multirouter.core.settings.failure_rules import RULES
from multirouter.core.settings.policies import CircuitPolicy, RetryPolicy
from multirouter.model import AttemptRecord, FailureKind
from tests.core.kit import FIXED, NEVER_TRIPS, World, failing, provider

TRIPS = CircuitPolicy(failures=1, growth=1, open_duration=5.0)


class FixedLatency(LatencyTracker):
    """A latency tracker with an adaptive timeout of two seconds."""

    __slots__ = ()
    limit = 2.0


def tripping(names: str, **settings: object) -> World:
    """Providers whose circuits open at the first failure."""
    return World([provider(name) for name in names], circuit=TRIPS, **settings)  # type: ignore[arg-type]


def test_a_call_that_must_not_be_copied_joins_no_trial() -> None:
    """The first is the trial, the next goes to a healthy provider."""
    world = tripping("ab")
    world.half_open("a")
    assert world.next_attempt(world.plan(idempotent=False)).member.name == "a"
    world.now += 2.0
    assert world.next_attempt(world.plan(idempotent=False)).member.name == "b"


def test_a_trial_that_is_due_comes_before_one_in_flight() -> None:
    """Of two half-open providers the second call tries the second one."""
    world = tripping("ab")
    world.half_open("a", "b")
    first = world.next_attempt(world.plan()).member.name
    world.now += 2.0
    assert {first, world.next_attempt(world.plan()).member.name} == {"a", "b"}


def test_a_trial_in_flight_does_not_block_the_next_ones() -> None:
    """Of two half-open providers each gets its own."""
    world = tripping("abc")
    world.half_open("a", "b")
    first = world.next_attempt(world.plan())
    assert [trial.member.name for trial in first.trials] == ["a", "b"]
    world = tripping("abc")
    world.half_open("a", "b")
    assert world.next_attempt(world.plan(["a"])).permit.trial
    assert [trial.member.name for trial in world.next_attempt(world.plan()).trials] == ["b"]


def test_trials_beside_a_degraded_provider() -> None:
    """When no other one is left, the first attempt has them as well."""
    world = tripping("ab")
    health = world.member("a").health
    for _ in range(20):
        health.record_failure(world.now)
    world.half_open("b")
    assert health.degraded
    step = world.next_attempt(world.plan())
    assert (step.member.name, step.role) == ("a", "call")
    assert [trial.member.name for trial in step.trials] == ["b"]


def test_a_reserve_is_no_further_candidate() -> None:
    """The last candidate of a positive weight has no adaptive timeout."""
    world = World([provider("a"), provider("b"), provider("spare", weight=0)], circuit=NEVER_TRIPS)
    for member in world.route().members:
        member.latency.__class__ = FixedLatency
    plan = world.plan()
    first = world.next_attempt(plan)
    assert first.deadline == world.now + 2.0
    world.fail(plan, first)
    assert world.next_attempt(plan).deadline > world.now + 2.0


def test_a_provider_that_is_held_open_is_not_waited_for() -> None:
    """No round follows when all are; the others decide when it begins."""
    world = World([provider("a"), provider("b")], circuit=NEVER_TRIPS)
    state, members = RetryState(RetryPolicy()), world.route().members
    assert (state.backed_off, state.last_key) == (False, "")
    state.record_attempt("a")
    record = AttemptRecord("a", "r", "call", failing("server"), OSError(), 0.0, 0.0, "")
    state.failed(record, members[0], RULES[FailureKind.SERVER], members, 0)
    assert state.next_round_at(members, world.now, 0.0) is not None
    for name in "ab":
        world.states.gates[name].set_hold("open", world.now)
    assert state.next_round_at(members, world.now, 0.0) is None


def test_a_retry_in_another_class_of_waiting_calls() -> None:
    """By the providers that are excluded, those that were attempted, and what was paid."""
    world = World([provider("a"), provider("b")], circuit=NEVER_TRIPS)
    members, budget = world.route().members, RetryBudget(RetryPolicy())
    one, other = RetryState(RetryPolicy()), RetryState(RetryPolicy())
    assert one.wait_class() == other.wait_class()
    one.record_attempt("a")
    assert one.wait_class() != other.wait_class()
    other.record_attempt("a")
    assert one.wait_class() == other.wait_class()
    one.exclude_all(members[:1])
    assert one.wait_class() != other.wait_class()
    other.exclude_all(members[:1])
    one.spend(members[0], "call", budget, world.now)
    assert one.wait_class() != other.wait_class()


# ── warm prompts ──────────────────────────────────────────────────────────────────────────────────


def conversation(**prices: Price) -> World:
    """A sticky route of one tier for each provider; the conversation was at the last one."""
    names = list(prices)
    world = World(
        [provider(name, price=price) for name, price in prices.items()],
        [Route("work", [[name] for name in names], strategy=Sticky(key=lambda request: "k"))],
        circuit=FIXED,
    )
    for name in names[:-1]:
        world.states.gates[name].set_hold("open", world.now)
    usage = {"prompt_tokens": 50_000, "completion_tokens": 200}
    plan = world.plan("work", request={})
    world.succeed(plan, world.next_attempt(plan), {"choices": [], "usage": usage})
    for name in names[:-1]:
        for hold in ("closed", None):
            world.states.gates[name].set_hold(hold, world.now)
    return world


PRICE = Price(3.0, 15.0, cached_input=0.3)


def test_a_conversation_stays_without_half_open_providers_too() -> None:
    """Also a call that must not be copied."""
    for idempotent in (True, False):
        world = conversation(home=PRICE, warm=PRICE)
        step = world.next_attempt(world.plan("work", request={}, idempotent=idempotent))
        assert (step.member.name, step.why) == ("warm", HOLDS_PROMPT)


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_half_open_provider_before_the_warm_one(idempotent: bool) -> None:
    """It gets a copy; a call that must not be copied is its trial."""
    world = conversation(tried=PRICE, home=PRICE, warm=PRICE)
    world.half_open("tried")
    step = world.next_attempt(world.plan("work", request={}, idempotent=idempotent))
    assert step.member.name == ("warm" if idempotent else "tried")
    assert [trial.member.name for trial in step.trials] == (["tried"] if idempotent else [])


def test_a_failover_is_not_to_the_warm_prompt() -> None:
    """Where the conversation was is the first choice alone: it has just failed."""
    world = conversation(home=PRICE, warm=PRICE)
    plan = world.plan("work", request={})
    assert world.run_attempts(plan, "server", "ok") == ["warm", "home"]
