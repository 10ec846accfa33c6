"""Hours of trials that time out do not raise the tolerance of the adaptive timeout to infinity."""

from __future__ import annotations

from multirouter.core.health.latency_tracker import LatencyTracker
from multirouter.core.settings.policies import LatencyPolicy


def test_the_tolerance_recovers_after_a_long_outage() -> None:
    """After 2,000 timed-out trials, about thirty answers in time restore the usual limit."""
    latency = LatencyTracker(LatencyPolicy())
    for i in range(64):
        latency.record(1.0, 20.0 * i)
    usual = latency.limit
    for _ in range(2000):
        latency.record_timeout(usual, trial=True)
    for i in range(64, 96):
        latency.record(1.0, 20.0 * i)
    assert latency._tolerance == 1.0
    assert latency.limit < 1.2 * usual
