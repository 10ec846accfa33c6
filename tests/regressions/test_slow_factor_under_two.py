"""`slow_factor=1.5` was accepted and acted like 2: a short cut asked for a doubling first."""

from __future__ import annotations

from multirouter.core.health.adaptive_timeout import LatencyTracker
from multirouter.core.settings.policies import LatencyPolicy


def test_a_factor_under_two_is_obeyed() -> None:
    """A provider 1.9 times slower than usual is ill when 1.5 times is."""
    latency = LatencyTracker(LatencyPolicy(slow_factor=1.5))
    for i in range(100):
        latency.answered(1.0, 20.0 * i)
    assert any(latency.answered(1.9, 2000.0 + i) for i in range(30))
