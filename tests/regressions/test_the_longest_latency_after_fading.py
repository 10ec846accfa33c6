"""After much fading the counts no longer summed up, and the longest latency was told as 1,048 s."""

from __future__ import annotations

from random import Random

from multirouter.core.rolling_window import Latencies


def test_the_whole_share_is_the_slowest_sample() -> None:
    """Share 1.0 is the bucket of the slowest sample, however many have faded."""
    rng = Random(1)
    latencies = Latencies()
    for _ in range(13_000):
        latencies.record(rng.gauss(0.0, 1.0))
        assert latencies.percentile(1.0) < 64.0
