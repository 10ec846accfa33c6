"""What a plan pays for: attempts, the shared budget, and hedges."""

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
def test_attempts_bound_a_provider(n: int) -> None:
    """Case 59: `attempts=n` is n attempts in all, the first included."""
    world = calm("a", retry=RetryPolicy(attempts=n, base=0.0))
    plan = world.plan()
    assert world.asked(plan, *["server"] * n) == ["a"] * n
    outcome = world.ended(plan)
    assert "RetryPolicy.attempts is used up" in str(outcome.error)
    assert world.refusals() == ["attempts"]


def test_first_tries_of_the_healthy_are_free() -> None:
    """No call fails while a healthy provider is left: its first try costs no attempt, no budget."""
    names = [f"p{i}" for i in range(8)]
    world = chain(*names, retry=RetryPolicy(attempts=1, budget=0.0, budget_floor=0))
    plan = world.plan("chain")
    assert world.asked(plan, *["server"] * 7, "ok") == names


def test_failover_to_the_ill_is_paid_for() -> None:
    """Who failed more than half of its recent attempts is passed over when nothing can be paid."""
    world = chain("a", "b", "c", retry=RetryPolicy(attempts=1))
    world.hit("b")
    plan = world.plan("chain")
    assert world.asked(plan, "server", "ok") == ["a", "c"]
    world.hit("b", "success")  # half are successes
    plan = world.plan("chain")
    assert world.asked(plan, "server", "ok") == ["a", "b"]


def test_an_old_failure_is_forgotten() -> None:
    """What a provider did before the window has no price today."""
    world = chain("a", "b", retry=RetryPolicy(attempts=1))
    world.hit("b")
    world.now += 3600.0
    assert world.asked(world.plan("chain"), "server", "ok") == ["a", "b"]


def test_a_refused_retry() -> None:
    """Case 67: without budget the caller gets the provider's error, and the reason is counted."""
    world = calm("a", retry=RetryPolicy(budget=0.0, budget_floor=1))
    plan = world.plan()
    assert world.asked(plan, "server", "server") == ["a", "a"]
    last = plan.attempts[-1].error
    outcome = world.ended(plan)
    assert outcome.error is not None
    assert outcome.error.__cause__ is last
    assert "the retry budget is used up" in str(outcome.error)
    assert world.refusals() == ["budget"]


def test_a_budget_that_recovers() -> None:
    """A refusal of a while ago does not end a later round: the budget is asked each time."""
    retry = RetryPolicy(attempts=9, budget=0.0, budget_floor=1, budget_window=10.0)
    world = chain("a", "b", "c", retry=retry)
    world.hit("b")
    other = world.plan(["a"])
    assert world.asked(other, "server", "server") == ["a", "a"]  # the budget is used up
    plan = world.plan("chain")
    first = world.trying(plan)
    assert first.member.name == "a"
    world.fails(plan, first)
    second = world.trying(plan)
    assert second.member.name == "c"  # b is ill and was refused
    world.fails(plan, second, after=30.0)
    assert world.asked(plan, "server") == ["b"]  # its failure is long ago by now
    assert 0.0 < world.rest(plan) <= 0.5
    assert world.asked(plan, "ok") == ["a"]


def test_the_budget_bounds_a_storm() -> None:
    """Case 65: with everybody failing, R calls make at most R * 1.2 + m attempts (m=10, 10 s)."""
    world = calm("a", "b", "c", retry=RetryPolicy(base=0.0))
    calls = 500
    for _ in range(calls):
        world.now += 9.0 / calls
        plan = world.plan()
        while not isinstance(step := world.step(plan), CallOutcome):
            if isinstance(step, AttemptStep):
                world.fails(plan, step)
    attempts = len(world.heard.attempts)
    assert calls * 1.1 < attempts <= calls * 1.2 + 10


def test_the_budget_against_its_model() -> None:
    """Case 66: the balance follows its model, a floor and a share of the calls begun.

    An attempt that was cancelled neither pays nor gives anything back.
    """
    retry = RetryPolicy(attempts=2, base=0.0, budget=0.5, budget_floor=2, budget_window=10.0)
    world = calm("a", retry=retry)
    calls, paid = 0, 0
    for number in range(40):
        calls += 1
        plan = world.plan()
        step = world.trying(plan)
        if number % 3 == 0:
            world.cancelled(plan, step)
            continue
        world.fails(plan, step)
        if isinstance(world.step(plan), WaitStep):
            paid += 1
            assert paid <= max(2, calls // 2)
            world.answers(plan, world.trying(plan))
        else:
            assert paid == max(2, calls // 2)
    assert paid == 39 // 2  # the fortieth call was cancelled


# ── hedges ──────────────────────────────────────────────────────────────────────────────────────


def race(*names: str, **settings: Any) -> World:
    """Providers in a chain that is hedged after a second."""
    return chain(*names, hedge=HedgePolicy(after=1.0), **settings)


def test_a_hedge_goes_elsewhere() -> None:
    """A hedge asks somebody else, says why, and is neither a failover nor one in the count."""
    world = race("a", "b", "c")
    plan = world.plan("chain")
    first = world.trying(plan)
    world.fails(plan, first)
    slow = world.trying(plan)
    world.now += 1.0
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    assert (hedge.member.name, hedge.role) == ("c", "hedge")
    assert hedge.why == "hedge: b silent for 1.00 s; only one"
    world.answers(plan, hedge)
    world.cancelled(plan, slow)
    outcome = world.ended(plan)
    assert (outcome.provider, outcome.failovers) == ("c", 1)
    assert [news.to for news in world.heard.of("failed_over")] == ["b"]
    assert world.in_flight() == {"a": 0, "b": 0, "c": 0}


def test_without_budget_only_the_hedge_is_skipped() -> None:
    """Case 78: a hedge is paid for; refused, it leaves the first attempt and failover alone."""
    world = race("a", "b", retry=RetryPolicy(budget=0.0, budget_floor=1))
    first = world.plan("chain")
    assert first.hedge(world.trying(first), world.now) is not None
    plan = world.plan("chain")
    slow = world.trying(plan)
    assert plan.hedge(slow, world.now) is None
    world.fails(plan, slow, "timeout")
    assert world.asked(plan, "ok") == ["b"]
    assert world.refusals() == []
    alone = world.plan("chain")
    slow = world.trying(alone)
    assert alone.hedge(slow, world.now) is None
    world.answers(alone, slow)
    assert world.ended(alone).provider == "a"


def test_a_hedge_uses_up_an_attempt() -> None:
    """`attempts` counts hedges as it counts every paid attempt."""
    world = race("a", "b", "c", retry=RetryPolicy(attempts=2))
    plan = world.plan("chain")
    slow = world.trying(plan)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    assert plan.hedge(hedge, world.now) is None


def test_a_failure_beside_a_hedge() -> None:
    """A failure with a hedge in flight brings in another at once; the hedge still may win."""
    world = race("a", "b", "c")
    plan = world.plan("chain")
    assert plan.beside(world.now) is None
    slow = world.trying(plan)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    world.fails(plan, slow)
    third = plan.beside(world.now)
    assert third is not None
    assert (third.member.name, third.role) == ("c", "call")
    assert plan.beside(world.now) is None  # nobody is left
    world.answers(plan, hedge)
    assert plan.beside(world.now) is None  # it is decided
    world.answers(plan, third, "too late")
    outcome = world.ended(plan)
    assert (outcome.provider, outcome.value) == ("b", "answer")


def test_a_fault_beside_a_hedge() -> None:
    """What no other try can mend ends a race, unless an answer was there already."""
    world = race("a", "b")
    for answered in (False, True):
        plan = world.plan("chain")
        slow = world.trying(plan)
        hedge = plan.hedge(slow, world.now)
        assert hedge is not None
        if answered:
            world.answers(plan, hedge)
        error = world.fails(plan, slow, "request")
        assert plan.decided
        if not answered:
            world.fails(plan, hedge, "request")
        assert world.ended(plan).error is (None if answered else error)


def test_a_barred_provider_is_not_asked_again() -> None:
    """Who is to be asked again and is then ruled out by another's failure is left alone."""
    world = World(
        [provider("a", context_window=8), provider("b", context_window=16)],
        [Route("chain", ["a", "b"], retries_per_provider=1, hedge=HedgePolicy(after=1.0))],
        circuit=NEVER_TRIPS,
    )
    plan = world.plan("chain")
    slow = world.trying(plan)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    world.fails(plan, slow, "server")
    world.fails(plan, hedge, "context_length")
    assert world.ended(plan).result == "failure"
