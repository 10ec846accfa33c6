"""Rolling counts against a list of everything, and percentiles against the sorted samples."""

from __future__ import annotations

import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core import rolling_window as window
from multirouter.core.rolling_window import (
    MIN_LATENCY,
    SLICES,
    STEPS_PER_DOUBLING,
    LatencyHistogram,
    RollingCounts,
)

SPAN = 10.0
ONE_BUCKET = 2.0 ** (1 / STEPS_PER_DOUBLING)


def counts(rolling: RollingCounts, now: float) -> tuple[int, int]:
    """Calls and failures as of `now`; a look from outside finds the same, and changes nothing."""
    state = rolling.edge, rolling.calls, rolling.failures
    seen = rolling.counts_at(now)
    assert state == (rolling.edge, rolling.calls, rolling.failures)
    rolling.settle(now)
    assert seen == (rolling.calls, rolling.failures)
    return seen


# ── rolling counts ────────────────────────────────────────────────────────────────────────────────


def test_calls_and_failures_are_counted_separately() -> None:
    """Each record is a call, and a failure only when it failed."""
    rolling = RollingCounts(SPAN)
    for failed in (True, False, True):
        rolling.record(3.0, failed=failed)
    assert (rolling.calls, rolling.failures) == (3, 2)


@pytest.mark.parametrize(
    ("recorded", "now", "left"),
    [
        (0.0, 9.999, 1),  # at the beginning of a slice: the whole span
        (0.0, 10.0, 0),
        (0.999, 9.999, 1),  # at its end: nine tenths
        (0.999, 10.0, 0),
        (5.0, 14.999, 1),
        (5.0, 15.0, 0),
        (0.0, 1e9, 0),
    ],
)
def test_the_edge_of_the_window_is_the_documented_one(
    recorded: float, now: float, left: int
) -> None:
    """Case 5: a call drops out with its slice, at the latest exactly `span` after its record."""
    rolling = RollingCounts(SPAN)
    rolling.record(recorded, failed=True)
    assert counts(rolling, now) == (left, left)


def test_memory_is_that_of_ten_slices() -> None:
    """Case 5: ten thousand calls take ten numbers each for calls and failures."""
    rolling = RollingCounts(SPAN)
    for i in range(10_000):
        rolling.record(i * 1e-2, failed=i % 2 == 0)
    assert SLICES == 10
    assert len(rolling._calls) == len(rolling._failures) == SLICES
    newest = rolling.calls - rolling._calls_before
    assert rolling.calls == sum(rolling._calls) + newest
    assert 900 <= rolling.calls <= 1000


steps = st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=60)


@given(steps, st.integers(0, 150))
def test_counts_equal_those_of_a_full_list(taken: list[tuple[int, bool]], later: int) -> None:
    """At any times, the counts are those of the ten newest slices of a full list."""
    rolling = RollingCounts(SPAN)
    times = list(accumulate(quarters for quarters, _ in taken))
    for at, (_, failed) in zip(times, taken, strict=True):
        rolling.record(at / 4, failed=failed)
    now = (times[-1] if times else 0) + later
    newest = now // 4
    inside = [f for at, (_, f) in zip(times, taken, strict=True) if at // 4 > newest - SLICES]
    assert counts(rolling, now / 4) == (len(inside), sum(inside))


@given(
    st.floats(1e-6, 1e9),
    st.lists(st.floats(0.0, 3.0), min_size=1, max_size=30),
    st.floats(0.0, 1e6),
)
def test_any_span_keeps_recent_calls_and_drops_old_ones(
    span: float, gaps: list[float], start: float
) -> None:
    """For any span: younger than nine tenths is counted, older than the span is not."""
    rolling = RollingCounts(span)
    times = [start + at * span for at in accumulate(gaps)]
    for at in times:
        rolling.record(at, failed=True)
    slack = 1e-6 * span + 1e-9 * times[-1]
    young = sum(times[-1] - at < 0.9 * span - slack for at in times)
    not_old = sum(times[-1] - at <= span + slack for at in times)
    assert young <= rolling.calls <= not_old
    assert rolling.failures == rolling.calls


def test_a_clock_that_lags_drops_nothing() -> None:
    """Settling at an earlier instant changes nothing, and a record then counts as new."""
    rolling = RollingCounts(SPAN)
    rolling.record(100.0, failed=True)
    assert counts(rolling, 50.0) == (1, 1)
    rolling.record(50.0, failed=False)
    assert counts(rolling, 100.5) == (2, 1)


def test_a_long_sleep_empties_the_window() -> None:
    """Case 41: after an hour in which the process was suspended, counts are 0, not below."""
    rolling = RollingCounts(SPAN)
    for i in range(30):
        rolling.record(i / 3, failed=True)
    assert counts(rolling, 3610.0) == (0, 0)
    rolling.record(3610.0, failed=False)
    assert counts(rolling, 3610.0) == (1, 0)
    assert min(rolling._calls) == min(rolling._failures) == 0


def test_clear_starts_anew() -> None:
    """After `clear` nothing is left, nothing drops below 0, and new records count in full."""
    rolling = RollingCounts(SPAN)
    rolling.record(4.0, failed=True)
    rolling.clear()
    assert counts(rolling, 4.0) == (0, 0)
    rolling.record(4.0, failed=True)
    assert counts(rolling, 13.9) == (1, 1)
    assert counts(rolling, 14.0) == (0, 0)


def test_shift_keeps_remaining_durations() -> None:
    """On another loop's clock a call counts for exactly as long as it would have."""
    rolling = RollingCounts(SPAN)
    rolling.record(4.0, failed=True)
    rolling.shift(-1000.0)
    assert counts(rolling, -986.001) == (1, 1)
    assert counts(rolling, -986.0) == (0, 0)


# ── latencies ─────────────────────────────────────────────────────────────────────────────────────


def filled(seconds: list[float]) -> LatencyHistogram:
    """A histogram of these latencies."""
    latencies = LatencyHistogram()
    for value in seconds:
        latencies.record(math.log2(value))
    return latencies


def test_percentile_without_samples_is_0() -> None:
    """Without samples every percentile is 0."""
    assert LatencyHistogram().percentile(0.5) == 0.0


@given(
    st.lists(st.floats(MIN_LATENCY, 1000.0), min_size=1, max_size=200),
    st.sampled_from([0.01, 0.5, 0.9, 0.95, 0.99, 1.0]),
)
def test_a_percentile_is_never_too_low_and_at_most_a_bucket_too_high(
    seconds: list[float], share: float
) -> None:
    """It is that of the sorted samples, rounded up by less than one bucket's width."""
    true = sorted(seconds)[max(1, math.ceil(share * len(seconds) - 1e-9)) - 1]
    estimate = filled(seconds).percentile(share)
    assert true * (1 - 1e-9) <= estimate <= true * ONE_BUCKET * (1 + 1e-9)


def test_a_bucket_is_nine_per_cent_wide() -> None:
    """The documented error of a percentile is what the buckets' width gives."""
    assert pytest.approx(1.0905, abs=1e-4) == ONE_BUCKET


def test_values_beyond_the_scale_share_the_outer_buckets() -> None:
    """Below a millisecond counts as the first bucket, beyond 1,048 s as the last."""
    assert filled([1e-9]).percentile(0.5) == pytest.approx(MIN_LATENCY * ONE_BUCKET)
    assert filled([1e9]).percentile(0.5) == pytest.approx(MIN_LATENCY * 2**20)
    assert window.DOUBLINGS == 20


def test_percentiles_are_computed_every_sixteen_records() -> None:
    """A percentile stays for fifteen records; the sixteenth returns that it is refreshed."""
    latencies = filled([0.1])
    before = latencies.percentile(0.5)
    fresh = [latencies.record(math.log2(10.0)) for _ in range(15)]
    assert fresh == [False] * 14 + [True]
    assert latencies.percentile(0.5) > 50 * before
    latencies = filled([0.1])
    latencies.percentile(0.5)
    for _ in range(14):
        latencies.record(math.log2(10.0))
    assert latencies.percentile(0.5) == before


def test_old_samples_fade_by_halves() -> None:
    """At 512 samples all weights are halved, so 513 new ones outweigh any past."""
    latencies = filled([0.1] * 511)
    assert latencies.samples == 511
    latencies.record(math.log2(0.1))
    assert latencies.samples == 256
    for _ in range(256):
        latencies.record(math.log2(10.0))
    assert latencies.samples == 256
    assert latencies.percentile(0.49) < 0.2
    assert latencies.percentile(0.51) > 9.0
