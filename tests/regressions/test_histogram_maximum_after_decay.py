"""Percentile 1.0 of a decayed histogram is its slowest sample, not the last bucket (1,048 s)."""

from __future__ import annotations

from random import Random

from multirouter.core.rolling_window import LatencyHistogram


def test_percentile_one_is_the_slowest_sample() -> None:
    """Percentile 1.0 is the slowest sample, however many have decayed."""
    rng = Random(1)
    latencies = LatencyHistogram()
    for _ in range(13_000):
        latencies.record(rng.gauss(0.0, 1.0))
        assert latencies.percentile(1.0) < 64.0
