"""Rolling counts over a time window, and a fading histogram of latencies."""

from __future__ import annotations

from math import floor, log2

SLICES = 10
"""Slices of a window: memory stays constant, however many calls there are."""


class RollingCounts:
    """Number of calls and failures in the last `span` seconds.

    A call counts for at least nine tenths of the window and never longer than the whole: it drops
    out with its slice, at the latest exactly `span` seconds after it was recorded.

    Attributes:
        calls: recorded calls, as of the last `record` or `settle`.
        failures: failed calls, as of the same instant.
        edge: loop time at which the newest slice ends, seconds.
    """

    __slots__ = (
        "_at",
        "_calls",
        "_calls_before",
        "_failures",
        "_failures_before",
        "_past_successes",
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
        self._past_successes = 0
        self.calls: int = 0
        self.failures: int = 0

    def record(
        self,
        now: float,
        failed: bool,  # noqa: FBT001 - once an attempt, where keywords cost time
    ) -> None:
        """Counts one call that ended at `now` (loop time, seconds)."""
        if now >= self.edge:
            self.settle(now)
        # Only the sums are updated here; the newest slice is computed when it ends.
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
            self._past_successes += self._calls[at] - self._failures[at]
            self._calls[at] = self._failures[at] = 0
        self._calls_before = self.calls
        self._failures_before = self.failures

    @property
    def successes(self) -> int:
        """Calls that did not fail since the start, those before the window included."""
        return self._past_successes + self.calls - self.failures

    def counts_at(self, now: float) -> tuple[int, int]:
        """Calls and failures in the window at `now`, without changing it: for other threads."""
        calls, failures = self.calls, self.failures
        if now < self.edge:
            return calls, failures
        steps = int((now - self.edge) // self._width) + 1
        if steps >= SLICES:
            return 0, 0
        dropped = [(self._at + step) % SLICES for step in range(1, steps + 1)]
        calls -= sum(self._calls[at] for at in dropped)
        return calls, failures - sum(self._failures[at] for at in dropped)

    def clear(self) -> None:
        """Removes every call."""
        self._past_successes += self.calls - self.failures
        self._calls = [0] * SLICES
        self._failures = [0] * SLICES
        self._calls_before = self._failures_before = 0
        self.calls = self.failures = 0

    def shift(self, by: float) -> None:
        """Moves the window by `by` seconds, to the clock of another event loop."""
        self.edge += by


STEPS_PER_DOUBLING = 8
"""Buckets per doubling of latency: a bucket is 9 % wide, which bounds a percentile's error."""

MIN_LATENCY = 1e-3
"""Upper end of the range that shares the first bucket, seconds."""

DOUBLINGS = 20
"""Doublings of `MIN_LATENCY` that the histogram covers: up to 1,048 s, beyond any attempt."""

_BUCKETS = STEPS_PER_DOUBLING * DOUBLINGS
_MIN_LATENCY_LOG2 = log2(MIN_LATENCY)
_STEPS = float(STEPS_PER_DOUBLING)


class LatencyHistogram:
    """Histogram of the last few hundred latencies; older ones fade by halves.

    Fading goes by count, not by time, so that a provider with two attempts an hour still has a
    history.

    Attributes:
        samples: total weight after fading; not a whole number of calls.
    """

    HALVE_AT = 512
    """Samples at which all counts are halved."""

    REFRESH_EVERY = 16
    """Records between two computations of a percentile; in between, the last result is returned."""

    __slots__ = ("_cache", "_counts", "_until_refresh", "samples")

    def __init__(self) -> None:
        self._counts = [0.0] * _BUCKETS
        self._cache: dict[float, float] = {}
        self._until_refresh = self.REFRESH_EVERY
        self.samples: float = 0.0

    def record(self, *log2_seconds: float) -> bool:
        """Adds latencies, given as the binary logarithms of their seconds.

        Returns:
            True when the percentiles will be computed anew.
        """
        counts = self._counts
        for latency in log2_seconds:
            bucket = floor((latency - _MIN_LATENCY_LOG2) * _STEPS)
            counts[0 if bucket < 0 else bucket if bucket < _BUCKETS else _BUCKETS - 1] += 1.0
        self.samples += len(log2_seconds)
        self._until_refresh -= len(log2_seconds)
        if self._until_refresh > 0:
            return False
        self._until_refresh = self.REFRESH_EVERY
        self._cache.clear()
        if self.samples >= self.HALVE_AT:
            self._counts = [count / 2 for count in counts]
            self.samples /= 2
        return True

    def percentile(self, share: float) -> float:
        """The latency that a `share` (0 to 1) of the samples did not exceed, seconds.

        It is the upper edge of a bucket: at most 9 % too high and never too low. 0 without
        samples. May lag by up to `REFRESH_EVERY` records.
        """
        known = self._cache.get(share)
        if known is None:
            known = self._cache[share] = self._compute(share)
        return known

    def _compute(self, share: float) -> float:
        if not self.samples:
            return 0.0
        target = share * self.samples
        below = 0.0
        last = 0
        for bucket, count in enumerate(self._counts):
            if count:
                below += count
                last = bucket
                if below >= target:
                    break
        # After many halvings the counts may sum to slightly less than `samples`: then the last
        # non-empty bucket counts.
        edge: float = MIN_LATENCY * 2.0 ** ((last + 1) / STEPS_PER_DOUBLING)
        return edge
