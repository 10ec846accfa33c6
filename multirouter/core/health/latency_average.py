"""Recent latency of a provider on a route, and how busy the provider was then."""

from __future__ import annotations

import math

DECAY = 10.0
"""Seconds in which an answer loses 63 % of its weight. Source: Finagle, PeakEwma, decayTime."""

MIN_ANSWERS = 5.0
"""Weight, in answers, that the past keeps whatever its age: where answers are rare, one unusual
answer does not decide alone."""

MAX_ANSWERS = 50.0
"""Highest weight of the past, in answers. At a high rate the average follows a provider that slows
down within some fifty answers instead of ten seconds; fifty lognormal latencies still have a mean
within about ten percent."""

PENALTY = 1e6
"""Expected latency, seconds, of one more attempt at a provider whose first answers are pending: a
new provider gets one attempt at first, not a hundred. Source: Finagle, PeakEwma."""


class LatencyAverage:
    """Averages of one provider's recent latencies and of its attempts in flight, on one route.

    Attributes:
        latency: the average latency, seconds; 0 before the first answer.
        last: the latest latency, seconds; 0 before the first answer.
    """

    __slots__ = ("_answers", "_in_flight", "_updated_at", "last", "latency")

    def __init__(self) -> None:
        self.latency: float = 0.0
        self.last: float = 0.0
        self._answers = 0.0
        self._in_flight = 0.0
        self._updated_at = -math.inf

    def record(self, seconds: float, now: float, in_flight: int) -> None:
        """Adds the duration of an attempt that ended.

        Args:
            seconds: from its start to its answer, or to its timeout.
            now: loop time of its end, seconds.
            in_flight: attempts in flight at the provider at that time.
        """
        kept = self._answers
        faded = kept * math.exp(min(0.0, self._updated_at - now) / DECAY) if kept else 0.0
        self._answers = answers = min(MAX_ANSWERS, max(faded, min(kept, MIN_ANSWERS))) + 1.0
        self.latency += (seconds - self.latency) / answers
        self._in_flight += (in_flight - self._in_flight) / answers
        self.last = seconds
        self._updated_at = now

    def wait(self, in_flight: int) -> float:
        """The expected latency of one more attempt, seconds.

        It is the average latency, multiplied by how many more attempts than usual are in flight. In
        a steady state the average contains the waiting time that the usual load causes. More
        attempts than that are a burst, or show that the provider has stopped answering.
        """
        if not self._answers:
            return PENALTY + in_flight if in_flight else 0.0
        return self.latency * self._load(in_flight)

    def last_wait(self, in_flight: int) -> float:
        """The same by the latest answer alone; infinite before the first answer."""
        return self.last * self._load(in_flight) if self._answers else math.inf

    def _load(self, in_flight: int) -> float:
        return max(1.0, (in_flight + 1.0) / max(1.0, self._in_flight))

    def shift(self, by: float) -> None:
        """Moves to the clock of another loop, by `by` seconds."""
        self._updated_at += by
