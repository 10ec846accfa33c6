"""Histogram of latencies with percentiles accurate to half a percent."""

from __future__ import annotations

import math
from collections import Counter

BUCKETS_PER_E = 100.0
"""Buckets per factor e. A bucket is 1 % wide, so a percentile is off by at most half a percent."""


class LatencyHistogram:
    """Counts latencies; calls without an answer count as slower than any other.

    Attributes:
        count: number of latencies counted, calls without an answer included.
    """

    __slots__ = ("_buckets", "_unanswered", "count")

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._unanswered = 0
        self.count: int = 0

    def add(self, seconds: float) -> None:
        """Counts a latency, >= 0; `math.inf` is a call without an answer."""
        self.count += 1
        if seconds == math.inf:
            self._unanswered += 1
        else:
            self._buckets[round(math.log(max(seconds, 1e-6)) * BUCKETS_PER_E)] += 1

    def percentile(self, share: float) -> float | None:
        """The latency, seconds, that `share` (> 0, <= 1) of all did not exceed, by nearest rank.

        Returns:
            `math.inf` if the rank falls on a call without an answer; None if nothing was counted.
        """
        if not self.count:
            return None
        rank = math.ceil(share * self.count - 1e-9)
        cumulative = 0
        for bucket in sorted(self._buckets):
            cumulative += self._buckets[bucket]
            if cumulative >= rank:
                return math.exp(bucket / BUCKETS_PER_E)
        return math.inf
