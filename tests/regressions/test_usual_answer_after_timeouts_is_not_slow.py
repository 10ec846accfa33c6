"""The first answer of a recovered provider, in its usual time, does not count as slow."""

from __future__ import annotations

from multirouter.core.health.latency_tracker import LatencyTracker
from multirouter.core.settings.policies import LatencyPolicy


def test_an_answer_in_the_usual_time_is_not_slow() -> None:
    """After timeouts, only an answer that is itself slow counts as slow."""
    latency = LatencyTracker(LatencyPolicy())
    for i in range(100):
        latency.record(1.0, 20.0 * i)
    for _ in range(10):
        latency.record_timeout(16.0, trial=False)
    assert latency.drift > 2.0
    assert not latency.record(1.0, 2000.0)
    assert latency.record(16.0, 2020.0)
