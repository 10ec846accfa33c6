"""Recent latency of a provider: an exponential mean that follows slow answers at once."""

from __future__ import annotations

import math

DECAY = 10.0
"""Seconds in which a latency loses 63 % of its weight. Source: Finagle, PeakEwma, decayTime."""

PENALTY = 1e6
"""Expected latency, seconds, of one more attempt at a provider whose first answers are pending: a
new provider gets one attempt at first, not a hundred. Source: Finagle, PeakEwma."""


class LatencyAverage:
    """Peak-sensitive exponential mean of one provider's latencies on one route.

    Source: Finagle, com.twitter.finagle.loadbalancer.PeakEwma.
    """

    __slots__ = ("_latency", "_updated_at")

    def __init__(self) -> None:
        self._latency = 0.0
        self._updated_at = -math.inf

    def record(self, seconds: float, now: float) -> None:
        """Adds the duration of an attempt that ended at `now` (loop time, seconds)."""
        if seconds > self.latency(now):
            self._latency = seconds
        else:
            weight = math.exp((self._updated_at - now) / DECAY)
            self._latency = self._latency * weight + seconds * (1.0 - weight)
        self._updated_at = now

    def latency(self, now: float) -> float:
        """The mean, seconds; 0 before the first answer.

        It falls while nothing is recorded, so that a provider that was slow is attempted again.
        """
        if not self._latency:
            return 0.0
        return self._latency * math.exp(min(0.0, self._updated_at - now) / DECAY)

    def load(self, in_flight: int, now: float) -> float:
        """The expected latency of one more attempt, seconds.

        Args:
            in_flight: attempts under way at the provider.
            now: loop time, seconds.
        """
        latency = self.latency(now)
        if not latency and in_flight:
            return PENALTY + in_flight
        return latency * (in_flight + 1)

    def shift(self, by: float) -> None:
        """Moves to the clock of another loop, by `by` seconds."""
        self._updated_at += by
