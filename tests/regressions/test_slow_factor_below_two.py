"""A `slow_factor` below 2 takes effect; the short check used to require a doubling first."""

from __future__ import annotations

from multirouter.core.health.latency_tracker import LatencyTracker
from multirouter.core.settings.policies import LatencyPolicy


def test_a_slow_factor_below_two_takes_effect() -> None:
    """A provider 1.9 times slower than usual is slow for `slow_factor=1.5`."""
    latency = LatencyTracker(LatencyPolicy(slow_factor=1.5))
    for i in range(100):
        latency.record(1.0, 20.0 * i)
    assert any(latency.record(1.9, 2000.0 + i) for i in range(30))
