"""Limits of attempts in flight, and of requests and tokens per minute."""

from __future__ import annotations

import math
from typing import Protocol

from multirouter.core.limits.model_limits import ModelLimits
from multirouter.core.settings.policies import LimitPolicy

TOLERANCE = 1e-6
"""Seconds by which a unit may be early: `now + ready_in` is rounded, and must be late enough."""


ROUNDING = 1e-4
"""Attempts in flight by which a share may be rounded: shares are sent with six digits."""


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

    def admits(self, size: int, now: float) -> bool:
        """Whether an attempt that is about to start may; counts one that may not."""
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
        share: share of the limits that this process may use, above 0 to 1.
        demand: attempts that were started or rejected since the start.
        limited: those that were rejected.
        learned: what the provider's answers tell about its limits; None without `learn`.
    """

    __slots__ = (
        "_most",
        "_requests",
        "_tokens",
        "demand",
        "in_flight",
        "learned",
        "limited",
        "policy",
        "share",
    )

    def __init__(self, policy: LimitPolicy, share: float = 1.0) -> None:
        self.in_flight: int = 0
        self.demand: float = 0.0
        self.limited: int = 0
        self.share: float = share
        self.learned: ModelLimits | None = None
        self._requests: TokenBucket | None = None
        self._tokens: TokenBucket | None = None
        self._most: int | None = None
        self.apply(policy)

    def rejection(self, size: int, now: float, model: str = "") -> str:
        """Why an attempt of `size` tokens cannot start at `now`, or an empty string."""
        reached = self.reached(size, now)
        if reached == "in_flight":
            return f"at its limit ({self._most} in flight)"
        if reached:
            return f"{reached} used up"
        return "" if self.learned is None else self.learned.rejection(size, now, model)

    def reached(self, size: int, now: float) -> str:
        """The setting of the policy that admits no attempt now, or ""."""
        if self._most is not None and self.in_flight >= self._most:
            return "in_flight"
        if self._requests is not None and not self._requests.has(1, now):
            return "requests_per_minute"
        if self._tokens is not None and not self._tokens.has(size, now):
            return "tokens_per_minute"
        return ""

    def admits(self, size: int, now: float, model: str = "") -> bool:
        """Whether an attempt that is about to start may; counts one that the policy rejects."""
        if self.reached(size, now):
            self.demand += 1.0
            self.limited += 1
            return False
        return self.learned is None or not self.learned.rejection(size, now, model)

    def acquire(self, size: int, now: float, model: str = "") -> None:
        """Counts the start of an attempt; of which model matters to what is learned alone."""
        self.in_flight += 1
        self.demand += 1.0
        if self._requests is not None:
            self._requests.acquire(1, now)
        if self._tokens is not None:
            self._tokens.acquire(size, now)
        if self.learned is not None:
            self.learned.of(model).acquire(size, now)

    def use_tokens(self, tokens: int, now: float) -> None:
        """Takes tokens that were not known when the attempt started."""
        if self._tokens is not None and tokens:
            self._tokens.acquire(tokens, now)

    def release(self, model: str = "") -> None:
        """Counts the end of an attempt; the units it took from the rate limits stay taken."""
        self.in_flight -= 1
        if self.learned is not None:
            self.learned.release(model)

    def ready_in(self, size: int, now: float, model: str = "") -> float | None:
        """Seconds until the rates admit an attempt; None when one in flight must end first."""
        if self._most is not None and self.in_flight >= self._most:
            return None
        requests = self._requests.ready_in(1, now) if self._requests is not None else 0.0
        tokens = self._tokens.ready_in(size, now) if self._tokens is not None else 0.0
        if self.learned is None:
            return max(requests, tokens)
        learned = self.learned.ready_in(size, now, model)
        return None if learned is None else max(requests, tokens, learned)

    def answered(self, now: float, elapsed: float, model: str = "") -> None:
        """Counts the end of an attempt that was answered after `elapsed` seconds."""
        if self.learned is not None:
            self.learned.of(model).answered(now, elapsed)
        self.release(model)

    def apply(self, policy: LimitPolicy) -> None:
        """Changes the policy; attempts in flight and used units stay counted.

        The object stays the same, so that attempts that started under the old policy are released
        where they were counted.
        """
        self.policy: LimitPolicy = policy
        requests, tokens, share = policy.requests_per_minute, policy.tokens_per_minute, self.share
        self._most = policy.in_flight
        if share < 1.0:
            requests, tokens = _part(requests, share), _part(tokens, share)
            if policy.in_flight is not None:
                self._most = max(1, int(share * policy.in_flight + ROUNDING))
        self._requests = _bucket(self._requests, requests, policy.burst)
        self._tokens = _bucket(self._tokens, tokens, policy.burst)
        if not policy.learn:
            self.learned = None
        elif self.learned is None:
            self.learned = ModelLimits()

    @property
    def is_shared(self) -> bool:
        """Whether there is a limit that processes of a fleet share."""
        return any(x is not None for x in (self._requests, self._tokens, self._most))

    def set_share(self, share: float) -> None:
        """Changes the share of the limits that may be used; used units stay counted."""
        self.share = share
        self.apply(self.policy)

    def shift(self, by: float) -> None:
        """Moves by `by` seconds, to the clock of another event loop."""
        for bucket in (self._requests, self._tokens):
            if bucket is not None:
                bucket.shift(by)
        if self.learned is not None:
            self.learned.shift(by)

    def forget_attempts(self, in_flight: int = 0) -> None:
        """Counts this number of attempts as in flight, whatever has started."""
        self.in_flight = in_flight
        if self.learned is not None:
            self.learned.forget_attempts()


def _part(rate: float | None, share: float) -> float | None:
    return None if rate is None else rate * share


def _bucket(old: TokenBucket | None, per_minute: float | None, burst: float) -> TokenBucket | None:
    """A bucket of that rate: the old one with its level, or a new full one; None for no limit."""
    if per_minute is None:
        return None
    if old is None:
        return TokenBucket(per_minute, burst)
    old.apply(per_minute, burst)
    return old
