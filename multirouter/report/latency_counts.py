"""Many latencies as a few counts, fine enough to be read as exact."""

from __future__ import annotations

import math
from collections import Counter

FINENESS = 100.0
"""Buckets per factor e: one is 1 % wide, so a percentile is off by half a percent at most."""


class Spread:
    """Latencies, and calls that never got an answer, which count as slower than any.

    Attributes:
        count: how many there are.
    """

    __slots__ = ("_buckets", "_never", "count")

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._never = 0
        self.count: int = 0

    def add(self, seconds: float) -> None:
        """Counts a latency; `math.inf` is one that never came."""
        self.count += 1
        if seconds == math.inf:
            self._never += 1
        else:
            self._buckets[round(math.log(max(seconds, 1e-6)) * FINENESS)] += 1

    def percentile(self, share: float) -> float | None:
        """What `share` (above 0 to 1) of all did not exceed, seconds, by nearest rank.

        Returns:
            `math.inf` when too many never came; None when there are none at all.
        """
        if not self.count:
            return None
        wanted = math.ceil(share * self.count - 1e-9)
        below = 0
        for bucket in sorted(self._buckets):
            below += self._buckets[bucket]
            if below >= wanted:
                return math.exp(bucket / FINENESS)
        return math.inf
