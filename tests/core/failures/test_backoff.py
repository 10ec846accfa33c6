"""Spans that grow, and rests that are spread, against the plain formulas."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.failures.backoff import ceiling, grown, rest
from multirouter.core.settings.policies import RetryPolicy


@pytest.mark.parametrize(
    ("times", "span"), [(1, 5.0), (2, 10.0), (3, 20.0), (4, 20.0), (10_000, 20.0)]
)
def test_a_span_grows_to_its_cap(times: int, span: float) -> None:
    """5 s growing by 2 up to 20 s: 5, 10, 20, 20, however often."""
    assert grown(5.0, 2.0, 20.0, times) == span


def test_a_cap_under_the_base_gives_way() -> None:
    """The cap never shortens the base itself."""
    assert [grown(60.0, 2.0, 20.0, times) for times in (1, 2, 9)] == [60.0, 60.0, 60.0]
    assert grown(60.0, 1.0, 20.0, 5) == 60.0


def test_endless_rounds_cost_nothing_when_nothing_grows() -> None:
    """With growth 1, or from 0, a span is its base at once, for any number of times."""
    assert grown(5.0, 1.0, 20.0, 10**15) == 5.0
    assert grown(0.0, 2.0, 20.0, 10**15) == 0.0


@given(st.floats(1e-6, 1e6), st.floats(1.0, 10.0), st.floats(1e-6, 1e9), st.integers(1, 12))
def test_growth_is_the_power_bounded_by_the_cap(
    base: float, growth: float, cap: float, times: int
) -> None:
    """What grows is min(max(base, cap), base * growth**(times-1))."""
    expected = min(max(base, cap), base * growth ** (times - 1))
    assert grown(base, growth, cap, times) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("round_number", "seconds"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0)]
)
def test_the_default_ceilings(round_number: int, seconds: float) -> None:
    """By default rests are drawn below 0.5, 1, 2, 4, 8, 8... seconds."""
    assert ceiling(RetryPolicy(), round_number) == seconds


def test_a_base_over_the_cap_is_cut() -> None:
    """The ceiling never exceeds the cap, not in the first round either."""
    assert ceiling(RetryPolicy(base=9.0, cap=4.0), 1) == 4.0
    assert ceiling(RetryPolicy(base=9.0, cap=4.0, factor=1.0), 3) == 4.0
    assert ceiling(RetryPolicy(base=3.0, cap=4.0, factor=1.0), 3) == 3.0


def test_the_ten_thousandth_round_does_not_overflow() -> None:
    """Case 60: at k=10,000 the ceiling is the cap, whatever the factor."""
    for factor in (1.0001, 2.0, 1e6):
        assert ceiling(RetryPolicy(factor=factor, base=1e-3), 10_000) <= 8.0
    assert ceiling(RetryPolicy(factor=1e6, base=1e9, cap=1e9), 10_000) == 1e9
    assert ceiling(RetryPolicy(base=0.0), 10_000) == 0.0


def test_rests_are_spread_evenly_below_the_ceiling() -> None:
    """Case 60: full jitter; of 20,000 rests each tenth of [0, 4) gets a tenth, within 4 sigma."""
    rng = Random(60)
    rests = [rest(RetryPolicy(), 4, 0.0, rng.random()) for _ in range(20_000)]
    tenths = [sum(int(r / 0.4) == tenth for r in rests) for tenth in range(10)]
    assert 0.0 <= min(rests) <= max(rests) < 4.0
    # n = 20,000, p = 0.1: sigma = 42.4.
    assert all(abs(tenth - 2000) < 170 for tenth in tenths)
    assert sum(rests) / len(rests) == pytest.approx(2.0, abs=0.04)


@given(
    st.floats(0.0, 1e6),
    st.integers(1, 100),
    st.one_of(st.sampled_from([0.0, 1.0 - 2.0**-53]), st.floats(0.0, 1.0, exclude_max=True)),
)
def test_no_rest_is_shorter_than_what_was_asked(
    floor: float, round_number: int, draw: float
) -> None:
    """A rest lies in [floor, max(floor, ceiling)], at both ends of the draw too."""
    policy = RetryPolicy()
    seconds = rest(policy, round_number, floor, draw)
    assert floor <= seconds <= max(floor, ceiling(policy, round_number))


def test_a_floor_moves_the_lower_end_only() -> None:
    """With 1 s asked and a ceiling of 4 s, half a draw is the middle of [1, 4]."""
    assert rest(RetryPolicy(), 4, 1.0, 0.5) == 2.5
    assert rest(RetryPolicy(), 4, 7.0, 0.5) == 7.0
