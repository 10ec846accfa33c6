"""Growing durations and backoff delays, compared with the plain formulas."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.failures.backoff import backoff_ceiling, backoff_delay, grown_duration
from multirouter.core.settings.policies import RetryPolicy


@pytest.mark.parametrize(
    ("count", "seconds"), [(1, 5.0), (2, 10.0), (3, 20.0), (4, 20.0), (10_000, 20.0)]
)
def test_a_duration_grows_to_its_cap(count: int, seconds: float) -> None:
    """5 s growing by 2 up to 20 s: 5, 10, 20, 20, for any count."""
    assert grown_duration(5.0, 2.0, 20.0, count) == seconds


def test_a_cap_below_the_base_has_no_effect() -> None:
    """The cap never shortens the base itself."""
    assert [grown_duration(60.0, 2.0, 20.0, count) for count in (1, 2, 9)] == [60.0, 60.0, 60.0]
    assert grown_duration(60.0, 1.0, 20.0, 5) == 60.0


def test_a_constant_duration_takes_no_loop() -> None:
    """With factor 1, or from 0, the result is the base at once, for any count."""
    assert grown_duration(5.0, 1.0, 20.0, 10**15) == 5.0
    assert grown_duration(0.0, 2.0, 20.0, 10**15) == 0.0


@given(st.floats(1e-6, 1e6), st.floats(1.0, 10.0), st.floats(1e-6, 1e9), st.integers(1, 12))
def test_growth_is_a_power_bounded_by_the_cap(
    base: float, growth: float, cap: float, count: int
) -> None:
    """min(max(base, cap), base * factor**(count - 1))."""
    expected = min(max(base, cap), base * growth ** (count - 1))
    assert grown_duration(base, growth, cap, count) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("round_number", "seconds"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0)]
)
def test_the_default_ceilings(round_number: int, seconds: float) -> None:
    """By default delays are below 0.5, 1, 2, 4, 8, 8... seconds."""
    assert backoff_ceiling(RetryPolicy(), round_number) == seconds


def test_the_ceiling_never_exceeds_the_cap() -> None:
    """Not in the first round either."""
    assert backoff_ceiling(RetryPolicy(base=9.0, cap=4.0), 1) == 4.0
    assert backoff_ceiling(RetryPolicy(base=9.0, cap=4.0, factor=1.0), 3) == 4.0
    assert backoff_ceiling(RetryPolicy(base=3.0, cap=4.0, factor=1.0), 3) == 3.0


def test_the_ten_thousandth_round_does_not_overflow() -> None:
    """Case 60: at k=10,000 the ceiling is the cap, whatever the factor."""
    for factor in (1.0001, 2.0, 1e6):
        assert backoff_ceiling(RetryPolicy(factor=factor, base=1e-3), 10_000) <= 8.0
    assert backoff_ceiling(RetryPolicy(factor=1e6, base=1e9, cap=1e9), 10_000) == 1e9
    assert backoff_ceiling(RetryPolicy(base=0.0), 10_000) == 0.0


def test_delays_are_uniform_below_the_ceiling() -> None:
    """Case 60: full jitter; of 20,000 delays each tenth of [0, 4) gets a tenth, within 4 sigma."""
    rng = Random(60)
    delays = [backoff_delay(RetryPolicy(), 4, 0.0, rng.random()) for _ in range(20_000)]
    tenths = [sum(int(r / 0.4) == tenth for r in delays) for tenth in range(10)]
    assert 0.0 <= min(delays) <= max(delays) < 4.0
    # n = 20,000, p = 0.1: sigma = 42.4.
    assert all(abs(tenth - 2000) < 170 for tenth in tenths)
    assert sum(delays) / len(delays) == pytest.approx(2.0, abs=0.04)


@given(
    st.floats(0.0, 1e6),
    st.integers(1, 100),
    st.one_of(st.sampled_from([0.0, 1.0 - 2.0**-53]), st.floats(0.0, 1.0, exclude_max=True)),
)
def test_no_delay_is_shorter_than_the_floor(
    floor: float, round_number: int, fraction: float
) -> None:
    """A delay lies in [floor, max(floor, ceiling)], at both ends of the fraction too."""
    policy = RetryPolicy()
    seconds = backoff_delay(policy, round_number, floor, fraction)
    assert floor <= seconds <= max(floor, backoff_ceiling(policy, round_number))


def test_a_floor_moves_only_the_lower_end() -> None:
    """With a floor of 1 s and a ceiling of 4 s, fraction 0.5 is the middle of [1, 4]."""
    assert backoff_delay(RetryPolicy(), 4, 1.0, 0.5) == 2.5
    assert backoff_delay(RetryPolicy(), 4, 7.0, 0.5) == 7.0
