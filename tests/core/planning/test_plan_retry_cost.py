"""Cost of retries: attempts, the shared budget, and hedges."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.planning.steps import AttemptStep, WaitStep
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import HedgePolicy, RetryPolicy
from multirouter.model import CallOutcome
from tests.core.kit import NEVER_TRIPS, World, calm, chain, provider

# ── the price ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("n", [1, 2, 5])
def test_attempts_limits_all_attempts(n: int) -> None:
    """Case 59: `attempts=n` is n attempts in all, the first included."""
    world = calm("a", retry=RetryPolicy(attempts=n, base=0.0))
    plan = world.plan()
    assert world.run_attempts(plan, *["server"] * n) == ["a"] * n
    outcome = world.next_outcome(plan)
    assert "RetryPolicy.attempts is reached" in str(outcome.error)
    assert world.retry_denials() == ["attempts"]


def test_first_attempt_at_a_healthy_provider_is_free() -> None:
    """A first attempt at a healthy provider uses no attempts and no budget."""
    names = [f"p{i}" for i in range(8)]
    world = chain(*names, retry=RetryPolicy(attempts=1, budget=0.0, budget_floor=0))
    plan = world.plan("chain")
    assert world.run_attempts(plan, *["server"] * 7, "ok") == names


def test_failover_to_an_unhealthy_provider_is_paid() -> None:
    """A provider with mostly failures is skipped when no paid attempt is left."""
    world = chain("a", "b", "c", retry=RetryPolicy(attempts=1))
    world.run_call("b")
    plan = world.plan("chain")
    assert world.run_attempts(plan, "server", "ok") == ["a", "c"]
    world.run_call("b", "success")  # half are successes
    plan = world.plan("chain")
    assert world.run_attempts(plan, "server", "ok") == ["a", "b"]


def test_failures_before_the_window_do_not_count() -> None:
    """Failures older than the window do not make a provider unhealthy."""
    world = chain("a", "b", retry=RetryPolicy(attempts=1))
    world.run_call("b")
    world.now += 3600.0
    assert world.run_attempts(world.plan("chain"), "server", "ok") == ["a", "b"]


def test_denied_retry_is_reported() -> None:
    """Case 67: without budget the caller gets the provider's error, and the reason is reported."""
    world = calm("a", retry=RetryPolicy(budget=0.0, budget_floor=1))
    plan = world.plan()
    assert world.run_attempts(plan, "server", "server") == ["a", "a"]
    last = plan.attempts[-1].error
    outcome = world.next_outcome(plan)
    assert outcome.error is not None
    assert outcome.error.__cause__ is last
    assert "the retry budget is used up" in str(outcome.error)
    assert world.retry_denials() == ["budget"]


def test_budget_is_consulted_each_time() -> None:
    """An earlier denial does not end a later round: the budget refills."""
    retry = RetryPolicy(attempts=9, budget=0.0, budget_floor=1, budget_window=10.0)
    world = chain("a", "b", "c", retry=retry)
    world.run_call("b")
    other = world.plan(["a"])
    assert world.run_attempts(other, "server", "server") == ["a", "a"]  # the budget is used up
    plan = world.plan("chain")
    first = world.next_attempt(plan)
    assert first.member.name == "a"
    world.fail(plan, first)
    second = world.next_attempt(plan)
    assert second.member.name == "c"  # b is unhealthy, and the budget denied it
    world.fail(plan, second, after=30.0)
    assert world.run_attempts(plan, "server") == ["b"]  # its failure is older than the window
    assert 0.0 < world.pass_wait(plan) <= 0.5
    assert world.run_attempts(plan, "ok") == ["a"]


def test_budget_limits_a_retry_storm() -> None:
    """Case 65: when all fail, R calls make at most R * 1.2 + m attempts (m=10, 10 s)."""
    world = calm("a", "b", "c", retry=RetryPolicy(base=0.0))
    calls = 500
    for _ in range(calls):
        world.now += 9.0 / calls
        plan = world.plan()
        while not isinstance(step := world.step(plan), CallOutcome):
            if isinstance(step, AttemptStep):
                world.fail(plan, step)
    attempts = len(world.recorder.attempts)
    assert calls * 1.1 < attempts <= calls * 1.2 + 10


def test_budget_matches_its_model() -> None:
    """Case 66: the balance follows its model, a floor and a share of the calls started.

    A cancelled attempt neither spends nor returns anything.
    """
    retry = RetryPolicy(attempts=2, base=0.0, budget=0.5, budget_floor=2, budget_window=10.0)
    world = calm("a", retry=retry)
    calls, paid = 0, 0
    for number in range(40):
        calls += 1
        plan = world.plan()
        step = world.next_attempt(plan)
        if number % 3 == 0:
            world.cancel(plan, step)
            continue
        world.fail(plan, step)
        if isinstance(world.step(plan), WaitStep):
            paid += 1
            assert paid <= max(2, calls // 2)
            world.succeed(plan, world.next_attempt(plan))
        else:
            assert paid == max(2, calls // 2)
    assert paid == 39 // 2  # the fortieth call was cancelled


# ── hedges ──────────────────────────────────────────────────────────────────────────────────────


def hedged_chain(*names: str, **settings: Any) -> World:
    """Providers in a chain that is hedged after a second."""
    return chain(*names, hedge=HedgePolicy(after=1.0), **settings)


def test_hedge_goes_to_another_provider() -> None:
    """A hedge goes to another provider, says why, and is no failover."""
    world = hedged_chain("a", "b", "c")
    plan = world.plan("chain")
    first = world.next_attempt(plan)
    world.fail(plan, first)
    slow = world.next_attempt(plan)
    world.now += 1.0
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    assert (hedge.member.name, hedge.role) == ("c", "hedge")
    assert hedge.why == "hedge: no answer from b after 1.00 s; only candidate"
    world.succeed(plan, hedge)
    world.cancel(plan, slow)
    outcome = world.next_outcome(plan)
    assert (outcome.provider, outcome.failovers) == ("c", 1)
    assert [event.to for event in world.recorder.of("failed_over")] == ["b"]
    assert world.in_flight() == {"a": 0, "b": 0, "c": 0}


def test_without_budget_only_the_hedge_is_denied() -> None:
    """Case 78: a denied hedge leaves the first attempt and failover alone."""
    world = hedged_chain("a", "b", retry=RetryPolicy(budget=0.0, budget_floor=1))
    first = world.plan("chain")
    assert first.hedge(world.next_attempt(first), world.now) is not None
    plan = world.plan("chain")
    slow = world.next_attempt(plan)
    assert plan.hedge(slow, world.now) is None
    world.fail(plan, slow, "timeout")
    assert world.run_attempts(plan, "ok") == ["b"]
    assert world.retry_denials() == []
    alone = world.plan("chain")
    slow = world.next_attempt(alone)
    assert alone.hedge(slow, world.now) is None
    world.succeed(alone, slow)
    assert world.next_outcome(alone).provider == "a"


def test_hedge_uses_an_attempt() -> None:
    """`attempts` counts hedges as it counts every paid attempt."""
    world = hedged_chain("a", "b", "c", retry=RetryPolicy(attempts=2))
    plan = world.plan("chain")
    slow = world.next_attempt(plan)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    assert plan.hedge(hedge, world.now) is None


def test_failure_during_a_hedge_is_replaced() -> None:
    """A failure with a hedge in flight starts another attempt; the hedge may still win."""
    world = hedged_chain("a", "b", "c")
    plan = world.plan("chain")
    assert plan.replacement(world.now) is None
    slow = world.next_attempt(plan)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    world.fail(plan, slow)
    third = plan.replacement(world.now)
    assert third is not None
    assert (third.member.name, third.role) == ("c", "call")
    assert plan.replacement(world.now) is None  # no provider is left
    world.succeed(plan, hedge)
    assert plan.replacement(world.now) is None  # it is decided
    world.succeed(plan, third, "too late")
    outcome = world.next_outcome(plan)
    assert (outcome.provider, outcome.value) == ("b", "answer")


def test_request_fault_ends_a_hedge_race() -> None:
    """A failure that no other attempt can change ends a race, unless there is an answer."""
    world = hedged_chain("a", "b")
    for answered in (False, True):
        plan = world.plan("chain")
        slow = world.next_attempt(plan)
        hedge = plan.hedge(slow, world.now)
        assert hedge is not None
        if answered:
            world.succeed(plan, hedge)
        error = world.fail(plan, slow, "request")
        assert plan.decided
        if not answered:
            world.fail(plan, hedge, "request")
        assert world.next_outcome(plan).error is (None if answered else error)


def test_excluded_provider_is_not_retried() -> None:
    """A provider due for a retry, then excluded by another's failure, is not retried."""
    world = World(
        [provider("a", context_window=8), provider("b", context_window=16)],
        [Route("chain", ["a", "b"], retries_per_provider=1, hedge=HedgePolicy(after=1.0))],
        circuit=NEVER_TRIPS,
    )
    plan = world.plan("chain")
    slow = world.next_attempt(plan)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    world.fail(plan, slow, "server")
    world.fail(plan, hedge, "context_length")
    assert world.next_outcome(plan).result == "failure"
