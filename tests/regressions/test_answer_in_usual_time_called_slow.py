"""A recovered provider's first answer, in its usual time, opened the circuit: the mean was slow."""

from __future__ import annotations

from multirouter.core.health.adaptive_timeout import LatencyTracker
from multirouter.core.settings.policies import LatencyPolicy


def test_an_answer_in_usual_time_accuses_nobody() -> None:
    """After attempts that were cut off, only an answer that is slow itself makes a provider ill."""
    latency = LatencyTracker(LatencyPolicy())
    for i in range(100):
        latency.answered(1.0, 20.0 * i)
    for _ in range(10):
        latency.timed_out(16.0, trial=False)
    assert latency.drift > 2.0
    assert not latency.answered(1.0, 2000.0)
    assert latency.answered(16.0, 2020.0)
