"""Retry budget: limits additional attempts to a share of the calls."""

from __future__ import annotations

from multirouter.core.rolling_window import RollingCounts
from multirouter.core.settings.policies import RetryPolicy


class RetryBudget:
    """Limit of additional attempts, as a share of the recent calls of a router.

    One budget covers retries, hedges, background trials and failovers to unhealthy providers, so
    that an outage cannot multiply the traffic.
    """

    __slots__ = ("_calls", "_floor", "_share", "_spent", "_window")

    def __init__(self, policy: RetryPolicy) -> None:
        self._share = policy.budget
        self._floor = policy.budget_floor
        self._window = policy.budget_window
        self._calls = RollingCounts(policy.budget_window)
        self._spent = RollingCounts(policy.budget_window)

    def apply(self, policy: RetryPolicy) -> None:
        """Changes the policy; the counts stay, unless the window changed."""
        self._share = policy.budget
        self._floor = policy.budget_floor
        if policy.budget_window != self._window:
            self._window = policy.budget_window
            self._calls = RollingCounts(policy.budget_window)
            self._spent = RollingCounts(policy.budget_window)

    def call_started(self, now: float) -> None:
        """Counts a call."""
        calls = self._calls
        if now >= calls.edge:
            calls.settle(now)
        calls.calls += 1  # as `record` does, without its overhead: this runs for every call

    def allows(self, now: float, *, share: float = 1.0) -> bool:
        """Whether the budget allows one more attempt at `now`.

        Args:
            now: loop time, seconds.
            share: the part of the budget that may be spent on it, above 0 to 1.
        """
        self._calls.settle(now)
        self._spent.settle(now)
        allowed = max(self._floor, int(self._share * self._calls.calls))
        return self._spent.calls < share * allowed

    def spend(self, now: float) -> None:
        """Charges one attempt to the budget."""
        self._spent.record(now, failed=False)

    def shift(self, by: float) -> None:
        """Moves by `by` seconds, to the clock of another event loop."""
        self._calls.shift(by)
        self._spent.shift(by)
