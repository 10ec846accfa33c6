"""Retry budget: floor, share of the calls, and the window."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.limits.retry_budget import RetryBudget
from multirouter.core.settings.policies import RetryPolicy


def test_the_floor_is_always_allowed() -> None:
    """Without any call, ten attempts fit into a window, and the eleventh does not."""
    budget = RetryBudget(RetryPolicy())
    for _ in range(10):
        assert budget.allows(0.0)
        budget.spend(0.0)
    assert not budget.allows(9.9)
    assert budget.allows(10.0)


def test_a_fifth_of_the_calls_is_allowed() -> None:
    """100 to 104 calls allow 20 attempts, 105 calls one more; old calls do not count."""
    budget = RetryBudget(RetryPolicy())
    for _ in range(100):
        budget.call_started(0.0)
    for _ in range(20):
        assert budget.allows(0.0)
        budget.spend(0.0)
    assert not budget.allows(0.0)
    for _ in range(5):
        budget.call_started(5.0)
    assert budget.allows(5.0)
    budget.shift(-3.0)
    assert budget.allows(2.0)
    budget.spend(2.0)
    assert not budget.allows(2.0)
    assert budget.allows(7.0), "calls and attempts of 0 s are out of the window"


def test_a_budget_of_0_allows_nothing() -> None:
    """With share and floor 0 nothing is allowed, however many calls there are."""
    budget = RetryBudget(RetryPolicy(budget=0.0, budget_floor=0))
    for _ in range(1000):
        budget.call_started(0.0)
    assert not budget.allows(0.0)


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from(["call", "retry", "cancel"])), max_size=120
    ),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_the_budget_agrees_with_full_lists(
    script: list[tuple[int, str]], floor: int, share: float
) -> None:
    """Case 66: after any script the budget allows what lists of all calls and attempts allow.

    An attempt that is cancelled before it starts is not charged.
    """
    budget = RetryBudget(RetryPolicy(budget=share, budget_floor=floor, budget_window=10.0))
    calls: list[int] = []
    spent_at: list[int] = []
    quarters = 0
    for gap, action in script:
        quarters += gap
        now = quarters / 4
        newest = quarters // 4
        recent = sum(at // 4 > newest - 10 for at in calls)
        spent = sum(at // 4 > newest - 10 for at in spent_at)
        allowed = budget.allows(now)
        assert allowed is (spent < max(floor, int(share * recent)))
        if action == "call":
            budget.call_started(now)
            calls.append(quarters)
        elif action == "retry" and allowed:
            budget.spend(now)
            spent_at.append(quarters)


def test_a_total_outage_does_not_multiply_the_traffic() -> None:
    """Case 65: all fail and each call would make three retries; attempts stay under 1.2 R + m."""
    budget = RetryBudget(RetryPolicy())
    rng = Random(65)
    now, calls, retries = 0.0, [], []
    for _ in range(20_000):
        now += rng.expovariate(100.0)
        budget.call_started(now)
        calls.append(now)
        for _ in range(3):
            if budget.allows(now):
                budget.spend(now)
                retries.append(now)
    assert len(retries) <= 0.2 * len(calls) + 10
    assert len(retries) >= 0.15 * len(calls), "the budget can be used"
    for start in range(0, int(now), 10):
        within = [sum(start <= at < start + 10 for at in times) for times in (retries, calls)]
        assert within[0] <= 0.25 * within[1] + 10, "no 10 s have a retry storm"
