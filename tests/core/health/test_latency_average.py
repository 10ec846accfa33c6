"""Latency average: peaks count at once, and fade with time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.health.latency_average import DECAY, PENALTY, LatencyAverage


@given(st.lists(st.tuples(st.floats(0.001, 100.0), st.floats(0.0, 30.0)), min_size=1, max_size=20))
def test_latency_average_rises_at_once_and_falls_slowly(answers: list[tuple[float, float]]) -> None:
    """It never exceeds what was recorded."""
    average, now, highest = LatencyAverage(), 0.0, 0.0
    for seconds, pause in answers:
        before = average.latency(now)
        average.record(seconds, now)
        after = average.latency(now)
        assert min(before, seconds) - 1e-9 <= after <= max(highest, seconds) + 1e-9
        if seconds >= before:
            assert after == seconds
        now, highest = now + pause, after
        assert average.latency(now) <= after
    assert average.latency(now + 100 * DECAY) < 1e-6


def test_load_is_latency_times_attempts() -> None:
    """Without an answer but with attempts in flight it is very high."""
    average = LatencyAverage()
    assert average.load(0, 0.0) == 0.0
    assert average.load(2, 0.0) == PENALTY + 2
    average.record(2.0, 0.0)
    assert average.load(2, 0.0) == 6.0
    average.shift(50.0)
    assert average.load(0, 50.0) == 2.0
