"""The spending against one budget in its current period, by one process alone or of a fleet."""

from __future__ import annotations

import math
from datetime import datetime

from multirouter.core.cost.budget import Budget, Period

_HOUR = 3_600

_MAX_AHEAD: dict[Period, float] = {"hour": 2 * _HOUR, "day": 50 * _HOUR, "month": 63 * 24 * _HOUR}
"""Twice the longest period, seconds: a period that ends later than this came from a wrong clock."""

_ROUNDING = 1.0 - 1e-9
"""Relative rounding error that is allowed for in sums of many small amounts."""

SHARE_WAIT = 1.0
"""Seconds after which an attempt is worth a try when the share of this process is used up."""


class BudgetPeriod:
    """The spending against one budget in the current period.

    In a fleet the budget is that of all processes. This one may spend its allowance: a share of
    what is left, which is reserved for it. Alone its share is all.

    Attributes:
        budget: the budget.
        demand: amount spent since the start, over all periods, USD.
        limited: how often the share of this process was used up.
        spent: amount spent by this process in the period, USD.
        others: amount that other processes had spent when the allowance was renewed, USD.
        share: share of this process in what is left, 0 to 1.
        ends_at: end of the period, seconds since 1970.
        earliest: a time before this, seconds since 1970, shows that `ends_at` came from a wrong
            clock.
        warned: whether the warning mark was reported in this period.
        exhausted: whether it was reported that the whole budget is used up.
        used_up: why nothing may start before `ends_at`, or "".
    """

    __slots__ = (
        "_allowance",
        "_restored",
        "budget",
        "demand",
        "earliest",
        "ends_at",
        "exhausted",
        "limited",
        "others",
        "share",
        "spent",
        "used_up",
        "warned",
    )

    def __init__(self, budget: Budget) -> None:
        self.budget: Budget = budget
        self.demand: float = 0.0
        self.limited: int = 0
        self.spent: float = 0.0
        self.others: float = 0.0
        self.share: float = 1.0
        self._allowance = math.inf
        self._restored = 0.0
        self.ends_at: float = -math.inf
        self.earliest: float = -math.inf
        self.warned: bool = False
        self.exhausted: bool = False
        self.used_up: str = ""

    def settle(self, wall: float) -> None:
        """Starts a new period when the old one is over.

        A clock that was set back changes nothing, unless the period ends so far in the future that
        it came from a wrong clock: then its spending counts in the current period.
        """
        if wall >= self.ends_at:
            self._end_after(wall)
            self.spent = self.others = self._restored = 0.0
            self._allowance = self.share * self.budget.usd if self.share < 1.0 else math.inf
            self.warned = self.exhausted = False
            self.used_up = ""
        elif wall < self.earliest:
            self._end_after(wall)
            self.update_used_up()

    def _end_after(self, wall: float) -> None:
        self.ends_at = self.budget.ends_after(wall)
        self.earliest = self.ends_at - _MAX_AHEAD[self.budget.per]

    def apply(self, budget: Budget, wall: float) -> None:
        """Changes the amount or the time zone; the spending of the period is kept."""
        self.settle(wall)
        self.budget = budget
        self._end_after(wall)
        self.warned = self.warned and self.has_reached(budget.warn_at)
        self.exhausted = self.exhausted and self.has_reached(1.0)
        self.update_used_up()

    def restore(self, usd: float) -> None:
        """Adds an amount that another process spent earlier in the period."""
        self.spent += usd
        self._restored += usd
        self.warned = self.has_reached(self.budget.warn_at)
        self.exhausted = self.has_reached(1.0)
        self.update_used_up()

    @property
    def is_shared(self) -> bool:
        """Whether the budget is that of a fleet."""
        return self._allowance < math.inf

    @property
    def own(self) -> float:
        """What this process itself has spent in the period, USD."""
        return self.spent - self._restored

    def renew(self, share: float, allowance: float, others: float) -> None:
        """Renews the allowance of this process.

        Args:
            share: its share in what is left, 0 to 1.
            allowance: amount that it may spend in the whole period, USD.
            others: amount that other processes have spent in the period, USD. What was restored
                is a part of it, if it is known there.
        """
        self.spent = self.own
        self.others, self._restored = max(others, self._restored), 0.0
        self.share, self._allowance = share, allowance
        self.update_used_up()

    def set_share(self, share: float) -> None:
        """Changes the share in what is left, as far as it is known."""
        left = self.budget.usd - self.others - self.spent
        self.share, self._allowance = share, self.spent + share * left
        self.update_used_up()

    def has_reached(self, share: float) -> bool:
        """Whether this share of the whole budget (0 to 1) is spent."""
        return self.spent + self.others >= self.budget.usd * share * _ROUNDING

    def update_used_up(self) -> None:
        """Sets `used_up` from the spending."""
        self.used_up = ""
        if self.has_reached(1.0):
            until = datetime.fromtimestamp(self.ends_at, self.budget.zone)
            self.used_up = f"{self.budget} used up until {until:%Y-%m-%d %H:%M %Z}"
        elif self.spent >= self._allowance * _ROUNDING:
            self.limited += 1
            self.used_up = f"the share of this process in the {self.budget} is used up"

    def ready_in(self, wall: float) -> float:
        """Seconds until an attempt may start; 0 while the budget is not used up."""
        if not self.used_up:
            return 0.0
        left = self.ends_at - wall
        return left if self.has_reached(1.0) else min(left, SHARE_WAIT)
