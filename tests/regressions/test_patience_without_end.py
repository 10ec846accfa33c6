"""Six hours of trials that hung doubled the patience to infinity, which no answer ever calmed."""

from __future__ import annotations

from multirouter.core.health.adaptive_timeout import LatencyTracker
from multirouter.core.settings.policies import LatencyPolicy


def test_a_long_outage_is_forgotten() -> None:
    """After 2,000 trials cut off, some thirty answers in time bring the usual limit back."""
    latency = LatencyTracker(LatencyPolicy())
    for i in range(64):
        latency.answered(1.0, 20.0 * i)
    usual = latency.limit
    for _ in range(2000):
        latency.timed_out(usual, trial=True)
    for i in range(64, 96):
        latency.answered(1.0, 20.0 * i)
    assert latency._patience == 1.0
    assert latency.limit < 1.2 * usual
