"""May I, by load: attempts in flight, requests and tokens per minute, and the retry budget."""

from __future__ import annotations

import math
from typing import Protocol

from multirouter.core.rolling_window import RollingCounts
from multirouter.core.settings.policies import LimitPolicy, RetryPolicy

EARLY = 1e-6
"""Seconds by which a unit may come too early: `now + ready_in` is rounded, and must be in time."""


class TokenBucket:
    """Lets through `per_minute` units a minute, a burst of up to `capacity` at once.

    Attributes:
        capacity: units it holds when full.
    """

    __slots__ = ("_level", "_rate", "_seen", "capacity")

    def __init__(self, per_minute: float, burst: float) -> None:
        self._level = math.inf
        self.adopt(per_minute, burst)
        self._seen = -math.inf

    def has(self, units: float, now: float) -> bool:
        """Whether `units` could be taken at `now`; more than it can ever hold asks for it full."""
        return self._at(now) + EARLY * self._rate >= min(units, self.capacity)

    def take(self, units: float, now: float) -> None:
        """Takes `units`; the level may fall below 0, which the next ones wait for."""
        self._level = self._at(now) - units
        self._seen = now

    def ready_in(self, units: float, now: float) -> float:
        """Seconds until `units` can be taken."""
        missing = min(units, self.capacity) - self._at(now)
        return max(0.0, missing / self._rate)

    def adopt(self, per_minute: float, burst: float) -> None:
        """Goes on at another rate; what it holds stays, as far as there is room."""
        self.capacity: float = max(1.0, per_minute * burst)
        self._rate = per_minute / 60.0
        self._level = min(self._level, self.capacity)

    def shift(self, by: float) -> None:
        """Moves to the clock of another loop."""
        self._seen += by

    def _at(self, now: float) -> float:
        if now <= self._seen:
            return self._level
        if self._seen == -math.inf:
            return self.capacity
        return min(self.capacity, self._level + (now - self._seen) * self._rate)


class Bound(Protocol):
    """Whatever may keep the attempts of a route from starting: limits, or a budget."""

    def refuses(self, size: int, now: float) -> str:
        """Why an attempt of `size` tokens cannot start at `now`, or an empty string."""
        ...

    def take(self, size: int, now: float) -> None:
        """Counts an attempt in."""
        ...

    def leave(self) -> None:
        """Counts an attempt out."""
        ...

    def ready_in(self, size: int, now: float) -> float | None:
        """Seconds until time alone lets one start; None when time alone will not."""
        ...


class Limits:
    """The limits of one provider, route or router.

    Attributes:
        in_flight: attempts under way that these limits count.
        policy: what was asked for.
    """

    __slots__ = ("_requests", "_tokens", "in_flight", "policy")

    def __init__(self, policy: LimitPolicy) -> None:
        self.in_flight: int = 0
        self._requests: TokenBucket | None = None
        self._tokens: TokenBucket | None = None
        self.adopt(policy)

    def refuses(self, size: int, now: float) -> str:
        """Why an attempt of `size` tokens cannot start at `now`, or an empty string."""
        most = self.policy.in_flight
        if most is not None and self.in_flight >= most:
            return f"full ({most} in flight)"
        if self._requests is not None and not self._requests.has(1, now):
            return "requests_per_minute used up"
        if self._tokens is not None and not self._tokens.has(size, now):
            return "tokens_per_minute used up"
        return ""

    def take(self, size: int, now: float) -> None:
        """Counts an attempt in."""
        self.in_flight += 1
        if self._requests is not None:
            self._requests.take(1, now)
        if self._tokens is not None:
            self._tokens.take(size, now)

    def leave(self) -> None:
        """Counts an attempt out; what it took from the rates stays taken."""
        self.in_flight -= 1

    def ready_in(self, size: int, now: float) -> float | None:
        """Seconds until the rates allow it; None when that waits for an attempt to end."""
        most = self.policy.in_flight
        if most is not None and self.in_flight >= most:
            return None
        requests = self._requests.ready_in(1, now) if self._requests is not None else 0.0
        tokens = self._tokens.ready_in(size, now) if self._tokens is not None else 0.0
        return max(requests, tokens)

    def adopt(self, policy: LimitPolicy) -> None:
        """Goes on under another policy; attempts in flight and what was used stay counted.

        The object stays the same: calls that began under the old policy leave where they entered.
        """
        self.policy: LimitPolicy = policy
        self._requests = _bucket(self._requests, policy.requests_per_minute, policy.burst)
        self._tokens = _bucket(self._tokens, policy.tokens_per_minute, policy.burst)

    def shift(self, by: float) -> None:
        """Moves to the clock of another loop."""
        for bucket in (self._requests, self._tokens):
            if bucket is not None:
                bucket.shift(by)


def _bucket(old: TokenBucket | None, per_minute: float | None, burst: float) -> TokenBucket | None:
    """A bucket of that rate: the old one, or a full one where there was none; None for no limit."""
    if per_minute is None:
        return None
    if old is None:
        return TokenBucket(per_minute, burst)
    old.adopt(per_minute, burst)
    return old


class RetryBudget:
    """What repetitions may cost: a share of the recent calls, shared by all calls of a router.

    One budget for retries, hedges, probe copies and failovers to ill providers, so that an
    outage cannot multiply the traffic.
    """

    __slots__ = ("_calls", "_floor", "_paid", "_share", "_window")

    def __init__(self, policy: RetryPolicy) -> None:
        self._share = policy.budget
        self._floor = policy.budget_floor
        self._window = policy.budget_window
        self._calls = RollingCounts(policy.budget_window)
        self._paid = RollingCounts(policy.budget_window)

    def adopt(self, policy: RetryPolicy) -> None:
        """Goes on under another policy; what was counted stays, unless the window changed."""
        self._share = policy.budget
        self._floor = policy.budget_floor
        if policy.budget_window != self._window:
            self._window = policy.budget_window
            self._calls = RollingCounts(policy.budget_window)
            self._paid = RollingCounts(policy.budget_window)

    def call_started(self, now: float) -> None:
        """Counts a call in."""
        calls = self._calls
        if now >= calls.edge:
            calls.settle(now)
        calls.calls += 1  # as in record; each call goes this way

    def allows(self, now: float, *, share: float = 1.0) -> bool:
        """Whether one more repetition is affordable at `now`.

        Args:
            now: loop time, seconds.
            share: the part of the budget that may be used up for it, above 0 and at most 1.
        """
        self._calls.settle(now)
        self._paid.settle(now)
        most = max(self._floor, int(self._share * self._calls.calls))
        return self._paid.calls < share * most

    def pay(self, now: float) -> None:
        """Books one repetition."""
        self._paid.record(now, failed=False)

    def shift(self, by: float) -> None:
        """Moves to the clock of another loop."""
        self._calls.shift(by)
        self._paid.shift(by)
