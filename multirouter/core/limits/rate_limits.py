"""Limits of attempts in flight, and of requests and tokens per minute."""

from __future__ import annotations

import math
from typing import Protocol

from multirouter.core.settings.policies import LimitPolicy

TOLERANCE = 1e-6
"""Seconds by which a unit may be early: `now + ready_in` is rounded, and must be late enough."""


class TokenBucket:
    """Token bucket: `per_minute` units per minute, up to `capacity` at once.

    Attributes:
        capacity: units in a full bucket, at least 1.
    """

    __slots__ = ("_level", "_rate", "_seen", "capacity")

    def __init__(self, per_minute: float, burst: float) -> None:
        self._level = math.inf
        self.apply(per_minute, burst)
        self._seen = -math.inf

    def has(self, units: float, now: float) -> bool:
        """Whether `units` are available at `now`; more than the capacity needs a full bucket."""
        return self._at(now) + TOLERANCE * self._rate >= min(units, self.capacity)

    def acquire(self, units: float, now: float) -> None:
        """Takes `units`. The level may fall below 0; later requests then wait longer."""
        self._level = self._at(now) - units
        self._seen = now

    def ready_in(self, units: float, now: float) -> float:
        """Seconds until `units` are available."""
        missing = min(units, self.capacity) - self._at(now)
        return max(0.0, missing / self._rate)

    def apply(self, per_minute: float, burst: float) -> None:
        """Changes the rate; the level stays, up to the new capacity."""
        self.capacity: float = max(1.0, per_minute * burst)
        self._rate = per_minute / 60.0
        self._level = min(self._level, self.capacity)

    def shift(self, by: float) -> None:
        """Moves by `by` seconds, to the clock of another event loop."""
        self._seen += by

    def _at(self, now: float) -> float:
        if now <= self._seen:
            return self._level
        if self._seen == -math.inf:
            return self.capacity
        return min(self.capacity, self._level + (now - self._seen) * self._rate)


class AdmissionLimit(Protocol):
    """A condition on the start of attempts: concurrency and rate limits, or a budget."""

    def rejection(self, size: int, now: float) -> str:
        """Why an attempt of `size` tokens cannot start at `now`, or an empty string."""
        ...

    def acquire(self, size: int, now: float) -> None:
        """Counts the start of an attempt."""
        ...

    def release(self) -> None:
        """Counts the end of an attempt."""
        ...

    def ready_in(self, size: int, now: float) -> float | None:
        """Seconds until an attempt can start; None when that needs another attempt to end."""
        ...


class Limits:
    """The limits of one provider, route or router.

    Attributes:
        in_flight: number of attempts in flight.
        policy: the current policy.
    """

    __slots__ = ("_requests", "_tokens", "in_flight", "policy")

    def __init__(self, policy: LimitPolicy) -> None:
        self.in_flight: int = 0
        self._requests: TokenBucket | None = None
        self._tokens: TokenBucket | None = None
        self.apply(policy)

    def rejection(self, size: int, now: float) -> str:
        """Why an attempt of `size` tokens cannot start at `now`, or an empty string."""
        maximum = self.policy.in_flight
        if maximum is not None and self.in_flight >= maximum:
            return f"at its limit ({maximum} in flight)"
        if self._requests is not None and not self._requests.has(1, now):
            return "requests_per_minute used up"
        if self._tokens is not None and not self._tokens.has(size, now):
            return "tokens_per_minute used up"
        return ""

    def acquire(self, size: int, now: float) -> None:
        """Counts the start of an attempt."""
        self.in_flight += 1
        if self._requests is not None:
            self._requests.acquire(1, now)
        if self._tokens is not None:
            self._tokens.acquire(size, now)

    def release(self) -> None:
        """Counts the end of an attempt; the units it took from the rate limits stay taken."""
        self.in_flight -= 1

    def ready_in(self, size: int, now: float) -> float | None:
        """Seconds until the rates admit an attempt; None when one in flight must end first."""
        maximum = self.policy.in_flight
        if maximum is not None and self.in_flight >= maximum:
            return None
        requests = self._requests.ready_in(1, now) if self._requests is not None else 0.0
        tokens = self._tokens.ready_in(size, now) if self._tokens is not None else 0.0
        return max(requests, tokens)

    def apply(self, policy: LimitPolicy) -> None:
        """Changes the policy; attempts in flight and used units stay counted.

        The object stays the same, so that attempts that started under the old policy are released
        where they were counted.
        """
        self.policy: LimitPolicy = policy
        self._requests = _bucket(self._requests, policy.requests_per_minute, policy.burst)
        self._tokens = _bucket(self._tokens, policy.tokens_per_minute, policy.burst)

    def shift(self, by: float) -> None:
        """Moves by `by` seconds, to the clock of another event loop."""
        for bucket in (self._requests, self._tokens):
            if bucket is not None:
                bucket.shift(by)


def _bucket(old: TokenBucket | None, per_minute: float | None, burst: float) -> TokenBucket | None:
    """A bucket of that rate: the old one with its level, or a new full one; None for no limit."""
    if per_minute is None:
        return None
    if old is None:
        return TokenBucket(per_minute, burst)
    old.apply(per_minute, burst)
    return old
