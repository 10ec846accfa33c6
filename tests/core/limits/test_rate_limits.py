"""Token buckets compared with exact arithmetic; limits of attempts in flight and of rates."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.limit_report import LimitReport
from multirouter.core.limits.rate_limits import Limits, TokenBucket
from multirouter.core.settings.policies import LimitPolicy

# ── token buckets ───────────────────────────────────────────────────────────────────────────────


def test_a_bucket_starts_full() -> None:
    """Before its first use it holds `burst` of a minute, whatever the clock shows."""
    for now in (-1e6, 0.0, 1e6):
        bucket = TokenBucket(60.0, 0.5)
        assert bucket.capacity == 30.0
        assert bucket.ready_in(30.0, now) == 0.0
        bucket.acquire(30.0, now)
        assert bucket.ready_in(1.0, now) == 1.0
        assert not bucket.has(1.0, now + 0.999)
        assert bucket.has(1.0, now + 1.0)


def test_a_bucket_never_holds_more_than_its_capacity() -> None:
    """After an idle day it holds its capacity and no more."""
    bucket = TokenBucket(60.0, 0.1)
    bucket.acquire(6.0, 0.0)
    assert bucket.has(6.0, 86_400.0)
    bucket.acquire(6.0, 86_400.0)
    assert not bucket.has(0.1, 86_400.0)


def test_more_than_the_capacity_needs_a_full_bucket() -> None:
    """A request above the capacity is admitted by a full bucket; later requests wait longer."""
    bucket = TokenBucket(60.0, 1.0)
    assert bucket.has(600.0, 0.0)
    bucket.acquire(600.0, 0.0)
    assert bucket.ready_in(600.0, 0.0) == 600.0
    assert bucket.ready_in(1.0, 0.0) == 541.0
    assert not bucket.has(600.0, 599.9)
    assert bucket.has(600.0, 600.0)


def test_a_bucket_holds_at_least_one_unit() -> None:
    """Below one per minute a single request is admitted, then one per 1/rate."""
    bucket = TokenBucket(0.5, 1.0)
    assert bucket.capacity == 1.0
    bucket.acquire(1.0, 0.0)
    assert bucket.ready_in(1.0, 0.0) == 120.0


def test_an_earlier_instant_changes_nothing() -> None:
    """A clock that lags neither refills nor drains the bucket."""
    bucket = TokenBucket(60.0, 1.0)
    bucket.acquire(60.0, 100.0)
    assert not bucket.has(1.0, 50.0)
    bucket.shift(-100.0)
    assert bucket.ready_in(1.0, 0.0) == 1.0


@given(
    st.integers(1, 600),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 40)), min_size=1, max_size=40),
)
def test_a_bucket_agrees_with_exact_fractions(
    per_minute: int, requests: list[tuple[int, int]]
) -> None:
    """At each step the bucket holds what a bucket computed with exact fractions holds."""
    bucket = TokenBucket(float(per_minute), 0.5)
    capacity = max(Fraction(1), Fraction(per_minute, 2))
    level, now = capacity, Fraction(0)
    for quarters, units in requests:
        now += Fraction(quarters, 4)
        level = min(capacity, level + Fraction(quarters, 4) * Fraction(per_minute, 60))
        needed = min(Fraction(units), capacity)
        if abs(level - needed) > Fraction(1, 1000):
            assert bucket.has(units, float(now)) is (level >= needed)
        assert bucket.ready_in(units, float(now)) == pytest.approx(
            float(max(Fraction(0), (needed - level) * 60 / per_minute)), abs=1e-6
        )
        if level >= needed:
            bucket.acquire(units, float(now))
            level -= units


@given(
    st.floats(1e-6, 1e12),
    st.floats(0.01, 1.0),
    st.floats(0.0, 1e6),
    st.floats(0.0, 2.0),
    st.floats(0.0, 2.0),
)
def test_units_are_available_after_ready_in(
    per_minute: float, burst: float, now: float, taken: float, needed: float
) -> None:
    """At `now + ready_in` the units are available, for any rate, size and clock."""
    bucket = TokenBucket(per_minute, burst)
    bucket.acquire(taken * bucket.capacity, now)
    units = needed * bucket.capacity
    assert bucket.has(units, now + bucket.ready_in(units, now))


# ── the limits of one owner ─────────────────────────────────────────────────────────────────────

POLICY = LimitPolicy(
    in_flight=3, requests_per_minute=60, tokens_per_minute=600, burst=0.1, size=len
)


def test_each_limit_has_its_own_rejection() -> None:
    """Attempts in flight are checked first, then requests, then tokens."""
    limits = Limits(POLICY)
    assert limits.rejection(60, 0.0) == ""
    limits.acquire(60, 0.0)
    assert limits.rejection(1, 0.0) == "tokens_per_minute used up"
    assert limits.ready_in(1, 0.0) == pytest.approx(0.1)
    limits = Limits(POLICY)
    for _ in range(6):
        limits.acquire(0, 0.0)
        limits.release()
    assert limits.rejection(1, 0.0) == "requests_per_minute used up"
    assert limits.ready_in(1, 0.0) == pytest.approx(1.0)
    for _ in range(3):
        limits.acquire(0, 0.0)
    assert limits.rejection(1, 0.0) == "at its limit (3 in flight)"
    assert limits.ready_in(1, 0.0) is None
    limits.release()
    assert limits.ready_in(1, 0.0) is not None


def test_a_policy_without_limits_rejects_nothing() -> None:
    """Without limits every attempt is admitted, and counted."""
    limits = Limits(LimitPolicy())
    for _ in range(1000):
        limits.acquire(10**9, 0.0)
    assert limits.rejection(10**9, 0.0) == ""
    assert limits.ready_in(10**9, 0.0) == 0.0
    assert limits.in_flight == 1000
    limits.shift(5.0)


def test_ready_in_is_the_longer_wait_of_both_rates() -> None:
    """An attempt is ready when both requests and tokens are available."""
    limits = Limits(POLICY)
    limits.acquire(120, 0.0)
    assert limits.ready_in(30, 0.0) == pytest.approx(9.0)
    limits.shift(100.0)
    assert limits.ready_in(30, 100.0) == pytest.approx(9.0)


def test_a_changed_policy_keeps_the_counts() -> None:
    """Under a new policy attempts in flight and used units stay counted."""
    limits = Limits(LimitPolicy(in_flight=5, requests_per_minute=600))
    for _ in range(5):
        limits.acquire(0, 0.0)
    limits.apply(LimitPolicy(in_flight=5, requests_per_minute=60))
    assert limits.rejection(0, 0.0) == "at its limit (5 in flight)"
    for _ in range(5):
        limits.release()
    assert limits.in_flight == 0
    assert limits.rejection(0, 0.0) == ""
    limits.apply(LimitPolicy(requests_per_minute=6000))
    for _ in range(60):
        limits.acquire(0, 0.0)
    assert limits.rejection(0, 0.0) == "requests_per_minute used up", "a change refills nothing"
    assert limits.ready_in(0, 0.0) == pytest.approx(0.01)
    limits.apply(LimitPolicy())
    assert limits.rejection(0, 0.0) == ""
    limits.apply(LimitPolicy(requests_per_minute=1))
    assert limits.rejection(0, 0.0) == "", "a new limit starts full"


def test_two_requests_per_minute_admit_two() -> None:
    """The last unit of a bucket is available."""
    limits = Limits(LimitPolicy(requests_per_minute=2))
    for _ in range(2):
        assert limits.rejection(0, 0.0) == ""
        limits.acquire(0, 0.0)
    assert limits.rejection(0, 0.0) == "requests_per_minute used up"


def test_used_tokens_stay_used_under_a_new_policy() -> None:
    """A change of the policy refills no bucket."""
    policy = LimitPolicy(tokens_per_minute=60, size=len)
    limits = Limits(policy)
    limits.acquire(60, 0.0)
    limits.apply(policy)
    assert limits.rejection(1, 0.0) == "tokens_per_minute used up"


def test_a_share_of_attempts_in_flight() -> None:
    """It is rounded down, and at least one."""
    limits = Limits(LimitPolicy(in_flight=10))
    assert limits.is_shared
    for share, most in ((1.0, 10), (0.55, 5), (0.3, 3), (0.29999999, 3), (0.01, 1)):
        limits.set_share(share)
        for _ in range(most):
            assert limits.rejection(0, 0.0) == ""
            limits.acquire(0, 0.0)
        assert limits.rejection(0, 0.0) == f"at its limit ({most} in flight)"
        assert limits.ready_in(0, 0.0) is None
        for _ in range(most):
            limits.release()
    assert not Limits(LimitPolicy(learn=True)).is_shared
    rate = Limits(LimitPolicy(requests_per_minute=60.0), share=0.5)
    for _ in range(30):
        rate.acquire(0, 0.0)
    assert rate.rejection(0, 0.0) == "requests_per_minute used up"


def test_attempts_can_be_forgotten() -> None:
    """Those of a closed loop are no longer in flight, with learned limits and without."""
    for policy in (LimitPolicy(in_flight=1), LimitPolicy(in_flight=1, learn=True)):
        limits = Limits(policy)
        limits.acquire(0, 0.0)
        limits.forget_attempts()
        assert limits.rejection(0, 0.0) == ""


def test_started_and_rejected_attempts_are_counted() -> None:
    """Shares of a fleet follow the demand: every attempt counts once, rejected ones as limited."""
    cases = (
        LimitPolicy(in_flight=1),
        LimitPolicy(requests_per_minute=60, burst=1 / 60),
        LimitPolicy(tokens_per_minute=60, size=len, burst=1 / 60),
    )
    for policy in cases:
        limits = Limits(policy)
        assert (limits.demand, limits.limited) == (0.0, 0)
        assert limits.admits(1, 0.0)
        limits.acquire(1, 0.0)
        assert (limits.demand, limits.limited) == (1.0, 0)
        for _ in range(2):
            assert limits.rejection(1, 0.0) != ""
            assert not limits.admits(1, 0.0)
        assert (limits.demand, limits.limited) == (3.0, 2)


def test_a_learned_limit_is_no_part_of_the_demand() -> None:
    """Its rejections say nothing about the limits that processes share."""
    limits = Limits(LimitPolicy(learn=True))
    assert limits.learned is not None
    assert limits.admits(0, 0.0)
    limits.learned.of("").observe(LimitReport("requests", False, 0.0, 60.0, 5.0), 0.0)
    assert not limits.admits(0, 0.0)
    assert (limits.demand, limits.limited) == (0.0, 0)


def test_a_share_applies_to_every_limit() -> None:
    """Half of each rate; a share of 1 is the whole limit."""
    policy = LimitPolicy(requests_per_minute=120, tokens_per_minute=120, size=len, burst=1 / 60)
    limits = Limits(policy, 0.5)
    limits.acquire(1, 0.0)
    assert limits.ready_in(1, 0.0) == 1.0
    whole = Limits(LimitPolicy(in_flight=3))
    assert whole.share == 1.0
    for share in (1.0, 0.5):
        whole.set_share(share)
        whole.forget_attempts(2)
        assert (whole.rejection(0, 0.0) == "") is (share == 1.0)
    tokens = Limits(LimitPolicy(tokens_per_minute=120, size=len, burst=1 / 60), 0.5)
    tokens.acquire(1, 0.0)
    assert tokens.ready_in(1, 0.0) == 1.0
    Limits(LimitPolicy(requests_per_minute=120), 0.5).acquire(1, 0.0)


def test_learned_limits_come_beside_the_configured_ones() -> None:
    """The longer wait counts, and an attempt that must wait for another has none."""
    policy = LimitPolicy(
        requests_per_minute=60, tokens_per_minute=60, size=len, burst=1 / 6, learn=True
    )
    limits = Limits(policy)
    assert limits.learned is not None
    limits.learned.of("").observe(LimitReport("t", True, 8.0, None, 4.0), 0.0)
    assert limits.rejection(8, 0.0) == ""
    assert limits.rejection(9, 0.0) == "at the limit that its headers report"
    assert limits.rejection(9, 4.0) == ""
    assert limits.ready_in(9, 0.0) == 4.0
    limits.acquire(8, 0.0)
    assert limits.ready_in(1, 0.0) == 4.0
    assert limits.ready_in(10, 0.0) == 8.0  # of the configured tokens
    requests = Limits(LimitPolicy(requests_per_minute=6, learn=True, burst=1 / 6))
    requests.acquire(0, 0.0)
    assert requests.ready_in(0, 0.0) == 10.0
    for _ in range(50):
        requests.answered(0.0, 1.0)
        requests.acquire(0, 0.0)
    assert requests.learned is not None
    learned = requests.learned.of("")
    learned.rejected(0.0, 0.0)
    assert learned.rejection(0, 0.0) == "at its learned limit (1 in flight)"
    assert requests.ready_in(0, 600.0) is None
    requests.release()
    assert learned.rejection(0, 0.0) == "at its learned limit (240 requests per minute)"
    requests.acquire(0, 600.0)
    assert learned.ready_in(0, 600.0) is None
    requests.release()
    assert learned.ready_in(0, 600.0) == 0.0
