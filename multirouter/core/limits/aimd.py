"""Limits that are learned from 429s and latency, where a provider reports none.

Both follow the rule of TCP, AIMD: additive increase while it works, multiplicative decrease at each
429. Clients that share a limit come to equal parts of it, because a faster one meets more 429s.
"""

from __future__ import annotations

import math

LESS = 0.8
"""Part of the rate, and of the concurrency, that is kept after a 429."""

GROWTH = 40.0
"""Seconds in which the rate `FIRST_RATE` grows by as much as a 429 takes from it. The growth is of
`rate**0.7`: the more a client has, the smaller the part by which it grows. After as many seconds
without a 429 it accelerates."""

FIRST_RATE = 0.2
"""Attempts per second after the first 429 of a provider that has answered nothing."""

MEMORY = 10.0
"""Seconds of answers from which the first rate is learned."""

MARK_INTERVAL = 5.0
"""Seconds within which readings that little is left lower the rate once."""

BURST = 0.5
"""Seconds of the rate that may be used at once, but at least one attempt."""

TOLERANCE = 1e-6
"""Seconds by which an attempt may be early: `now + ready_in` is rounded."""

SLOW = 2.0
"""Factor of the usual latency above which the concurrency does not grow."""


class AdaptiveRate:
    """Attempts per second that a provider admits, as learned from its 429s.

    Attributes:
        rate: the rate; infinite before the first 429.
    """

    __slots__ = (
        "_answered",
        "_doubling",
        "_grown",
        "_level",
        "_lowered_at",
        "_seen",
        "_since",
        "rate",
    )

    def __init__(self) -> None:
        self.rate: float = math.inf
        self._grown = 0.0
        self._doubling = False
        self._level = 1.0
        self._seen = -math.inf
        self._answered = 0.0
        self._since = -math.inf
        self._lowered_at = -math.inf

    def answered(self, now: float) -> None:
        """Counts an answer."""
        if self.rate == math.inf:
            self._answered = self._recent(now) + 1.0
            self._since = now

    def rejected(self, now: float, jitter: float) -> None:
        """Lowers the rate after a 429.

        Args:
            now: loop time, seconds.
            jitter: part of an attempt, 0 to 1, by which the next one is later: clients that were
                rejected together do not come back together.
        """
        if self.rate == math.inf:
            known = self._recent(now) / MEMORY
            self._doubling = known < FIRST_RATE
            self.rate = max(FIRST_RATE, known * LESS)
        else:
            self.rate *= 0.5 if self._doubling else LESS
            self._doubling = False
        self._grown = 0.0
        self._level, self._seen = min(self._level, -jitter), now
        self._lowered_at = now

    def marked(self, now: float) -> None:
        """Lowers the rate because little is left, as a 429 would, but once in a while."""
        if now >= self._lowered_at + MARK_INTERVAL:
            self.rejected(now, 0.0)

    def acquire(self, now: float) -> None:
        """Takes an attempt from the rate."""
        if self.rate < math.inf:
            self._settle(now)
            self._level -= 1.0

    def ready_in(self, now: float) -> float:
        """Seconds until the rate admits an attempt."""
        if self.rate == math.inf:
            return 0.0
        wait = (1.0 - self._level) / self.rate - max(0.0, now - self._seen)
        return wait if wait > TOLERANCE else 0.0

    def shift(self, by: float) -> None:
        """Moves by `by` seconds, to the clock of another event loop."""
        self._seen += by
        self._since += by
        self._lowered_at += by

    def _settle(self, now: float) -> None:
        """Adds what the rate has given since the last attempt, and lets it grow.

        It grows while it is used: a pause counts as the time of two attempts at most.
        """
        passed = max(0.0, now - self._seen)
        self._level = min(max(1.0, BURST * self.rate), self._level + passed * self.rate)
        self._seen = now
        used = min(passed, 2.0 / self.rate)
        if self._doubling:
            self.rate *= 2.0 ** min(1.0, used * self.rate)
            return
        self._grown += used
        step = (1.0 - LESS) / GROWTH * FIRST_RATE**0.3 * self.rate**0.7
        self.rate += used * step * max(1.0, self._grown / GROWTH) ** 3

    def _recent(self, now: float) -> float:
        """Answers of the last `MEMORY` seconds, older ones fading."""
        return self._answered * math.exp(-max(0.0, now - self._since) / MEMORY)


class AdaptiveConcurrency:
    """Attempts in flight that a provider admits, as learned from its 429s and its latency.

    Attributes:
        limit: the limit; infinite before the first 429.
    """

    __slots__ = ("_latency", "limit")

    def __init__(self) -> None:
        self.limit: float = math.inf
        self._latency = 0.0

    def answered(self, in_flight: int, elapsed: float) -> None:
        """Raises the limit after an answer, where it was used and the provider was not slow.

        Args:
            in_flight: attempts in flight, this one included.
            elapsed: the attempt's duration, seconds.
        """
        slow = elapsed > SLOW * self._latency > 0.0
        if self._latency == 0.0 or elapsed < self._latency:
            self._latency = elapsed
        else:
            self._latency += 0.01 * (elapsed - self._latency)
        if not slow and in_flight + 1 >= self.limit:
            self.limit += 1.0 / self.limit

    def rejected(self, in_flight: int) -> None:
        """Lowers the limit after a 429.

        Args:
            in_flight: attempts in flight, this one included.
        """
        self.limit = max(1.0, LESS * min(self.limit, in_flight))
