"""How it has been: rolling counts over a span of time, and a fading histogram of latencies."""

from __future__ import annotations

from math import log2

SLICES = 10
"""Slices a window is cut into: memory is a handful of numbers, however many calls there are."""


class RollingCounts:
    """Calls and failures of the last `span` seconds.

    A call counts for at least nine tenths of the span and no longer than the whole: it drops out
    with its slice, at the latest exactly `span` seconds after it was recorded.

    Attributes:
        calls: recorded calls, as of the last `record` or `settle`.
        failures: how many of them failed, as of the same instant.
        edge: loop time at which the newest slice ends, seconds.
    """

    __slots__ = (
        "_at",
        "_calls",
        "_calls_before",
        "_failures",
        "_failures_before",
        "_width",
        "calls",
        "edge",
        "failures",
    )

    def __init__(self, span: float) -> None:
        self._width = span / SLICES
        self.edge: float = 0.0
        self._at = 0
        self._calls = [0] * SLICES
        self._failures = [0] * SLICES
        self._calls_before = self._failures_before = 0
        self.calls: int = 0
        self.failures: int = 0

    def record(self, now: float, *, failed: bool) -> None:
        """Counts one call that ended at `now` (loop time, seconds)."""
        if now >= self.edge:
            self.settle(now)
        # Only the sums are kept up to date: what the newest slice holds is known when it ends.
        self.calls += 1
        if failed:
            self.failures += 1

    def settle(self, now: float) -> None:
        """Drops the slices that are too old at `now`; a clock that stands or lags drops none."""
        if now < self.edge:
            return
        steps = int((now - self.edge) // self._width) + 1
        self.edge += steps * self._width
        self._calls[self._at] = self.calls - self._calls_before
        self._failures[self._at] = self.failures - self._failures_before
        for _ in range(min(steps, SLICES)):
            at = self._at = (self._at + 1) % SLICES
            self.calls -= self._calls[at]
            self.failures -= self._failures[at]
            self._calls[at] = self._failures[at] = 0
        self._calls_before = self.calls
        self._failures_before = self.failures

    def clear(self) -> None:
        """Forgets every call."""
        self._calls = [0] * SLICES
        self._failures = [0] * SLICES
        self._calls_before = self._failures_before = 0
        self.calls = self.failures = 0

    def shift(self, by: float) -> None:
        """Moves the window by `by` seconds, to the clock of another loop."""
        self.edge += by


STEPS_PER_DOUBLING = 8
"""Buckets per doubling of latency: one is 9 % wide, which bounds the error of a percentile."""

SHORTEST = 1e-3
"""Latencies under a millisecond share the first bucket, seconds."""

DOUBLINGS = 20
"""Doublings of `SHORTEST` that are told apart: up to 1,048 s, far beyond any attempt."""

_BUCKETS = STEPS_PER_DOUBLING * DOUBLINGS
_SHORTEST_LOG = log2(SHORTEST)


class Latencies:
    """A histogram of the last few hundred latencies, older ones fading by halves.

    Fading goes by count, not by time, so that a provider that is asked twice an hour still has
    a past.

    Attributes:
        samples: how many latencies it holds after fading, a weight and not a whole number of
            calls.
    """

    MEMORY = 512
    """Samples at which all counts are halved."""

    REFRESH = 16
    """Records after which a percentile is worked out anew; between, the last one is given."""

    __slots__ = ("_cache", "_counts", "_fresh_for", "samples")

    def __init__(self) -> None:
        self._counts = [0.0] * _BUCKETS
        self._cache: dict[float, float] = {}
        self._fresh_for = self.REFRESH
        self.samples: float = 0.0

    def record(self, doublings: float) -> bool:
        """Adds one latency, given as the binary logarithm of its seconds.

        Returns:
            Whether enough has come in for the percentiles to be worked out anew.
        """
        bucket = int((doublings - _SHORTEST_LOG) * STEPS_PER_DOUBLING)
        self._counts[0 if bucket < 0 else bucket if bucket < _BUCKETS else _BUCKETS - 1] += 1.0
        self.samples += 1.0
        self._fresh_for = left = self._fresh_for - 1
        if left:
            return False
        self._fresh_for = self.REFRESH
        self._cache.clear()
        if self.samples >= self.MEMORY:
            self._counts = [count / 2 for count in self._counts]
            self.samples /= 2
        return True

    def percentile(self, share: float) -> float:
        """The latency that `share` (0 to 1) of the samples did not exceed, seconds.

        The upper edge of its bucket, so at most 9 % too high and never too low; 0 without
        samples. May lag behind by up to `REFRESH` records.
        """
        known = self._cache.get(share)
        if known is None:
            known = self._cache[share] = self._work_out(share)
        return known

    def _work_out(self, share: float) -> float:
        if not self.samples:
            return 0.0
        wanted = share * self.samples
        below = 0.0
        last = 0
        for bucket, count in enumerate(self._counts):
            if count:
                below += count
                last = bucket
                if below >= wanted:
                    break
        # Counts that were halved often do not sum up to the last digit: the last bucket ends it.
        edge: float = SHORTEST * 2.0 ** ((last + 1) / STEPS_PER_DOUBLING)
        return edge
