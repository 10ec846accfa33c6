"""How fast a provider answers now: a mean that jumps with every slow answer and sinks with time."""

from __future__ import annotations

import math

DECAY = 10.0
"""Seconds in which a latency loses 63 % of its weight. Source: Finagle, PeakEwma, decayTime."""

PENALTY = 1e6
"""What one more attempt is expected to take, seconds, at a provider whose first answers are still
awaited: one newcomer is tried at once, not a hundred times. Source: Finagle, PeakEwma."""


class LatencyAverage:
    """The peak-sensitive exponential mean of one provider's latencies on one route.

    Source: Finagle, com.twitter.finagle.loadbalancer.PeakEwma.
    """

    __slots__ = ("_latency", "_stamp")

    def __init__(self) -> None:
        self._latency = 0.0
        self._stamp = -math.inf

    def learn(self, seconds: float, now: float) -> None:
        """Takes in what an attempt took that ended at `now` (loop time, seconds)."""
        faded = self.latency(now)
        if seconds > faded:
            self._latency = seconds
        else:
            weight = math.exp((self._stamp - now) / DECAY)
            self._latency = self._latency * weight + seconds * (1.0 - weight)
        self._stamp = now

    def latency(self, now: float) -> float:
        """The mean, seconds; it sinks while nothing comes in, so that who was slow is tried."""
        if not self._latency:
            return 0.0
        return self._latency * math.exp(min(0.0, self._stamp - now) / DECAY)

    def load(self, in_flight: int, now: float) -> float:
        """What one more attempt has to expect beside those in flight, seconds."""
        latency = self.latency(now)
        if not latency and in_flight:
            return PENALTY + in_flight
        return latency * (in_flight + 1)

    def shift(self, by: float) -> None:
        """Moves to the clock of another loop."""
        self._stamp += by
