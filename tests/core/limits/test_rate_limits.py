"""Buckets against exact arithmetic, limits that stay balanced, and the one retry budget."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.limits.rate_limits import Limits, RetryBudget, TokenBucket
from multirouter.core.settings.policies import LimitPolicy, RetryPolicy

# ── token buckets ───────────────────────────────────────────────────────────────────────────────


def test_a_bucket_starts_full_whatever_the_clock_says() -> None:
    """Before its first use it holds `burst` of a minute, at any instant, and not more later."""
    for now in (-1e6, 0.0, 1e6):
        bucket = TokenBucket(60.0, 0.5)
        assert bucket.capacity == 30.0
        assert bucket.ready_in(30.0, now) == 0.0
        bucket.take(30.0, now)
        assert bucket.ready_in(1.0, now) == 1.0
        assert not bucket.has(1.0, now + 0.999)
        assert bucket.has(1.0, now + 1.0)


def test_a_bucket_never_holds_more_than_its_capacity() -> None:
    """After a day of rest it is full and no fuller."""
    bucket = TokenBucket(60.0, 0.1)
    bucket.take(6.0, 0.0)
    assert bucket.has(6.0, 86_400.0)
    bucket.take(6.0, 86_400.0)
    assert not bucket.has(0.1, 86_400.0)


def test_more_than_it_can_hold_asks_for_it_full() -> None:
    """A request beyond the capacity enters a full bucket, and the next ones wait for its debt."""
    bucket = TokenBucket(60.0, 1.0)
    assert bucket.has(600.0, 0.0)
    bucket.take(600.0, 0.0)
    assert bucket.ready_in(600.0, 0.0) == 600.0
    assert bucket.ready_in(1.0, 0.0) == 541.0
    assert not bucket.has(600.0, 599.9)
    assert bucket.has(600.0, 600.0)


def test_the_slowest_bucket_holds_one() -> None:
    """Under one a minute a single request may still come, then one each 1/rate."""
    bucket = TokenBucket(0.5, 1.0)
    assert bucket.capacity == 1.0
    bucket.take(1.0, 0.0)
    assert bucket.ready_in(1.0, 0.0) == 120.0


def test_a_clock_that_lags_gives_nothing() -> None:
    """An earlier instant than the last neither refills nor drains."""
    bucket = TokenBucket(60.0, 1.0)
    bucket.take(60.0, 100.0)
    assert not bucket.has(1.0, 50.0)
    bucket.shift(-100.0)
    assert bucket.ready_in(1.0, 0.0) == 1.0


@given(
    st.integers(1, 600),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 40)), min_size=1, max_size=40),
)
def test_a_bucket_is_the_exact_one(per_minute: int, visits: list[tuple[int, int]]) -> None:
    """Taking what there is, the bucket agrees with one of exact fractions at each step."""
    bucket = TokenBucket(float(per_minute), 0.5)
    capacity = max(Fraction(1), Fraction(per_minute, 2))
    level, now = capacity, Fraction(0)
    for quarters, units in visits:
        now += Fraction(quarters, 4)
        level = min(capacity, level + Fraction(quarters, 4) * Fraction(per_minute, 60))
        wanted = min(Fraction(units), capacity)
        if abs(level - wanted) > Fraction(1, 1000):
            assert bucket.has(units, float(now)) is (level >= wanted)
        assert bucket.ready_in(units, float(now)) == pytest.approx(
            float(max(Fraction(0), (wanted - level) * 60 / per_minute)), abs=1e-6
        )
        if level >= wanted:
            bucket.take(units, float(now))
            level -= units


@given(
    st.floats(1e-6, 1e12),
    st.floats(0.01, 1.0),
    st.floats(0.0, 1e6),
    st.floats(0.0, 2.0),
    st.floats(0.0, 2.0),
)
def test_who_waits_as_told_is_let_in(
    per_minute: float, burst: float, now: float, taken: float, wanted: float
) -> None:
    """At `now + ready_in` there is enough, for any rate, size and clock: nobody wakes in vain."""
    bucket = TokenBucket(per_minute, burst)
    bucket.take(taken * bucket.capacity, now)
    units = wanted * bucket.capacity
    assert bucket.has(units, now + bucket.ready_in(units, now))


# ── the limits of one owner ─────────────────────────────────────────────────────────────────────

POLICY = LimitPolicy(
    in_flight=3, requests_per_minute=60, tokens_per_minute=600, burst=0.1, size=len
)


def test_each_limit_refuses_in_its_own_words() -> None:
    """In flight first, then requests, then tokens."""
    limits = Limits(POLICY)
    assert limits.refuses(60, 0.0) == ""
    limits.take(60, 0.0)
    assert limits.refuses(1, 0.0) == "tokens_per_minute used up"
    assert limits.ready_in(1, 0.0) == pytest.approx(0.1)
    limits = Limits(POLICY)
    for _ in range(6):
        limits.take(0, 0.0)
        limits.leave()
    assert limits.refuses(1, 0.0) == "requests_per_minute used up"
    assert limits.ready_in(1, 0.0) == pytest.approx(1.0)
    for _ in range(3):
        limits.take(0, 0.0)
    assert limits.refuses(1, 0.0) == "full (3 in flight)"
    assert limits.ready_in(1, 0.0) is None
    limits.leave()
    assert limits.ready_in(1, 0.0) is not None


def test_no_limit_refuses_nobody() -> None:
    """A policy without limits lets everything in at once, and counts it."""
    limits = Limits(LimitPolicy())
    for _ in range(1000):
        limits.take(10**9, 0.0)
    assert limits.refuses(10**9, 0.0) == ""
    assert limits.ready_in(10**9, 0.0) == 0.0
    assert limits.in_flight == 1000
    limits.shift(5.0)


def test_the_longer_wait_of_two_rates_counts() -> None:
    """Ready is when both requests and tokens are."""
    limits = Limits(POLICY)
    limits.take(120, 0.0)
    assert limits.ready_in(30, 0.0) == pytest.approx(9.0)
    limits.shift(100.0)
    assert limits.ready_in(30, 100.0) == pytest.approx(9.0)


def test_what_entered_before_a_change_leaves_after_it() -> None:
    """Under a new policy the object is the same: in flight and used rates go on being counted."""
    limits = Limits(LimitPolicy(in_flight=5, requests_per_minute=600))
    for _ in range(5):
        limits.take(0, 0.0)
    limits.adopt(LimitPolicy(in_flight=5, requests_per_minute=60))
    assert limits.refuses(0, 0.0) == "full (5 in flight)"
    for _ in range(5):
        limits.leave()
    assert limits.in_flight == 0
    assert limits.refuses(0, 0.0) == ""
    limits.adopt(LimitPolicy(requests_per_minute=6000))
    for _ in range(60):
        limits.take(0, 0.0)
    assert limits.refuses(0, 0.0) == "requests_per_minute used up", "no refill by a change"
    assert limits.ready_in(0, 0.0) == pytest.approx(0.01)
    limits.adopt(LimitPolicy())
    assert limits.refuses(0, 0.0) == ""
    limits.adopt(LimitPolicy(requests_per_minute=1))
    assert limits.refuses(0, 0.0) == "", "a limit that is new starts full"


# ── the retry budget ────────────────────────────────────────────────────────────────────────────


def test_the_floor_is_always_there() -> None:
    """Without any call ten repetitions fit into a window, and the eleventh does not."""
    budget = RetryBudget(RetryPolicy())
    for _ in range(10):
        assert budget.allows(0.0)
        budget.pay(0.0)
    assert not budget.allows(9.9)
    assert budget.allows(10.0)


def test_a_fifth_of_the_calls_may_be_repeated() -> None:
    """Of 100 calls 20 may be repeated, of 104 too, of 105 one more; none that are too old."""
    budget = RetryBudget(RetryPolicy())
    for _ in range(100):
        budget.call_started(0.0)
    for _ in range(20):
        assert budget.allows(0.0)
        budget.pay(0.0)
    assert not budget.allows(0.0)
    for _ in range(5):
        budget.call_started(5.0)
    assert budget.allows(5.0)
    budget.shift(-3.0)
    assert budget.allows(2.0)
    budget.pay(2.0)
    assert not budget.allows(2.0)
    assert budget.allows(7.0), "calls and repetitions of 0 s are over"


def test_no_budget_at_all() -> None:
    """Share and floor 0 allow nothing, whatever the calls."""
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
def test_the_balance_is_that_of_a_full_list(
    script: list[tuple[int, str]], floor: int, share: float
) -> None:
    """Case 66: after any script the budget allows what lists of all calls and payments allow.

    A repetition that is cancelled before it began neither pays nor earns.
    """
    budget = RetryBudget(RetryPolicy(budget=share, budget_floor=floor, budget_window=10.0))
    calls: list[int] = []
    paid: list[int] = []
    quarters = 0
    for gap, what in script:
        quarters += gap
        now = quarters / 4
        newest = quarters // 4
        recent = sum(at // 4 > newest - 10 for at in calls)
        spent = sum(at // 4 > newest - 10 for at in paid)
        allowed = budget.allows(now)
        assert allowed is (spent < max(floor, int(share * recent)))
        if what == "call":
            budget.call_started(now)
            calls.append(quarters)
        elif what == "retry" and allowed:
            budget.pay(now)
            paid.append(quarters)


def test_a_dead_world_multiplies_no_load() -> None:
    """Case 65: all fail, every call wants three more tries: attempts stay under 1.2 R + m."""
    budget = RetryBudget(RetryPolicy())
    rng = Random(65)
    now, calls, paid = 0.0, [], []
    for _ in range(20_000):
        now += rng.expovariate(100.0)
        budget.call_started(now)
        calls.append(now)
        for _ in range(3):
            if budget.allows(now):
                budget.pay(now)
                paid.append(now)
    assert len(paid) <= 0.2 * len(calls) + 10
    assert len(paid) >= 0.15 * len(calls), "what the budget allows can be had"
    for start in range(0, int(now), 10):
        within = [sum(start <= at < start + 10 for at in times) for times in (paid, calls)]
        assert within[0] <= 0.25 * within[1] + 10, "no ten seconds are a storm"
