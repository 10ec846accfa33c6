"""Budgets: how much providers, routes and the router may spend per hour, day or month."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Literal, get_args

from multirouter.core import validation as check
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import BudgetReached
from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from multirouter.core.change_counter import ChangeCounter

Period = Literal["hour", "day", "month"]
PERIODS: tuple[Period, ...] = get_args(Period)

WallClock = Callable[[], float]
"""Returns the wall-clock time, seconds since 1970: periods end by the calendar."""

_HOUR = 3_600

_MAX_AHEAD: dict[Period, float] = {"hour": 2 * _HOUR, "day": 50 * _HOUR, "month": 63 * 24 * _HOUR}
"""Twice the longest period, seconds: a period that ends later than this came from a wrong clock."""

_ROUNDING = 1.0 - 1e-9
"""Relative rounding error that is allowed for in sums of many small amounts."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Amount that may be spent per period; when it is used up, nothing starts until the next one.

    Attempts in flight when it is used up are still charged, so the spending may exceed it.

    Attributes:
        usd: US dollars per period, above 0 to 1e12.
        per: the calendar period: `hour`, `day` or `month`.
        warn_at: the share at which `BudgetReached` is reported as a warning, above 0 to 1.
        zone: the time zone in which days and months begin. Default: UTC, as in the providers'
            own billing.

    Raises:
        ConfigurationError: a setting is invalid.
    """

    usd: float
    per: Period = "day"
    _: KW_ONLY
    warn_at: float = 0.8
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        check.number("Budget.usd", self.usd, above=0.0, maximum=1e12)
        check.one_of("Budget.per", self.per, PERIODS)
        check.number("Budget.warn_at", self.warn_at, above=0.0, maximum=1.0)
        if not isinstance(self.zone, tzinfo):
            raise ConfigurationError(
                "Budget.zone",
                f"must be a tzinfo such as ZoneInfo('Europe/Berlin'), got {self.zone!r}",
            )

    def ends_after(self, wall: float) -> float:
        """End of the period that contains the time `wall`; both in seconds since 1970."""
        at = datetime.fromtimestamp(wall, self.zone)
        if self.per == "hour":
            # Computed with the current UTC offset: in a zone whose clocks change by half an hour,
            # the hour that contains the change began under another offset.
            second, offset = math.floor(wall), at.utcoffset() or timedelta(0)
            return second + _HOUR - (second + offset.total_seconds()) % _HOUR
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if self.per == "day":
            return (midnight + timedelta(days=1)).timestamp()
        next_month = midnight.replace(day=28) + timedelta(days=4)
        return next_month.replace(day=1).timestamp()

    def __str__(self) -> str:
        return f"budget of {self.usd:g} USD per {self.per}"


def as_budgets(what: str, value: Any) -> tuple[Budget, ...]:
    """The value of a `budget=` argument as a tuple: none, one, or several of different periods.

    Args:
        what: the setting's name, for the error.
        value: None, a Budget, or an iterable of them.

    Raises:
        ConfigurationError: the value is anything else, or has two budgets of one period.
    """
    if value is None:
        return ()
    if isinstance(value, Budget):
        return (value,)
    budgets = tuple(value) if isinstance(value, Iterable) else (value,)
    for budget in budgets:
        if not isinstance(budget, Budget):
            raise ConfigurationError(what, f"must be a Budget or a list of them, got {budget!r}")
    periods = [budget.per for budget in budgets]
    for per in periods:
        if periods.count(per) > 1:
            raise ConfigurationError(what, f"must have one budget per period, got two per {per}")
    return budgets


class _BudgetPeriod:
    """The spending against one budget in the current period.

    Attributes:
        budget: the budget.
        spent: amount spent in the period, USD.
        ends_at: end of the period, seconds since 1970.
        earliest: a time before this, seconds since 1970, shows that `ends_at` came from a wrong
            clock.
        warned: whether the warning mark was reported in this period.
        used_up: why nothing may start before `ends_at`, or "".
    """

    __slots__ = ("budget", "earliest", "ends_at", "spent", "used_up", "warned")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.spent = 0.0
        self.ends_at = self.earliest = -math.inf
        self.warned = False
        self.used_up = ""

    def settle(self, wall: float) -> None:
        """Starts a new period when the old one is over.

        A clock that was set back changes nothing, unless the period ends so far in the future that
        it came from a wrong clock: then its spending counts in the current period.
        """
        if wall >= self.ends_at:
            self._end_after(wall)
            self.spent = 0.0
            self.warned = False
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
        self.update_used_up()

    def has_reached(self, share: float) -> bool:
        """Whether this share of the budget (0 to 1) is spent."""
        return self.spent >= self.budget.usd * share * _ROUNDING

    def update_used_up(self) -> None:
        """Sets `used_up` from the spending."""
        self.used_up = ""
        if self.has_reached(1.0):
            until = datetime.fromtimestamp(self.ends_at, self.budget.zone)
            self.used_up = f"{self.budget} used up until {until:%Y-%m-%d %H:%M %Z}"


class Account:
    """Spending of one owner against all of its budgets.

    It is used like the limits of a route (`AdmissionLimit`), but starting an attempt uses nothing:
    its cost is known at its end.

    Args:
        router: the router's name.
        owner: the owner: `provider NAME`, `route NAME` or `router`.
        wall: the wall clock.
        dispatcher: receives `BudgetReached`.

    Attributes:
        owner: see Args.
        revision: rises when a budget of a provider is used up, as with every change of its
            availability; None for the other owners.
    """

    __slots__ = ("_dispatcher", "_periods", "_router", "_wall", "owner", "revision")

    def __init__(
        self, router: str, owner: str, wall: WallClock, dispatcher: EventDispatcher
    ) -> None:
        self._router = router
        self.owner: str = owner
        self._wall = wall
        self._dispatcher = dispatcher
        self._periods: tuple[_BudgetPeriod, ...] = ()
        self.revision: ChangeCounter | None = None

    def apply(self, budgets: tuple[Budget, ...]) -> None:
        """Changes the budgets; the spending in a period of the same kind is kept."""
        old = {period.budget.per: period for period in self._periods}
        for budget in budgets:
            if budget.per in old:
                old[budget.per].apply(budget, self._wall())
        self._periods = tuple(old.get(budget.per) or _BudgetPeriod(budget) for budget in budgets)

    def charge(self, usd: float) -> None:
        """Adds an amount; queues `BudgetReached` when a budget is reached by it."""
        wall = self._wall()
        for period in self._periods:
            if not period.earliest <= wall < period.ends_at:
                period.settle(wall)
            period.spent += usd
            if period.has_reached(period.budget.warn_at):
                self._report_reached(period)

    def restore(self, usd: float, at: float) -> None:
        """Adds an amount spent earlier (by another process, say), without an event.

        Args:
            usd: the amount, USD.
            at: when it was spent, seconds since 1970; an amount of a past period is ignored.
        """
        wall = self._wall()
        for period in self._periods:
            period.settle(wall)
            if period.budget.ends_after(at) == period.ends_at:
                period.spent += usd
                period.warned = period.has_reached(period.budget.warn_at)
                period.update_used_up()

    def rejection(self, size: int = 0, now: float = 0.0) -> str:
        """Why no attempt may start, or ""."""
        for period in self._periods:
            if period.used_up:
                period.settle(self._wall())
                if period.used_up:
                    return period.used_up
        return ""

    def ready_in(self, size: int = 0, now: float = 0.0) -> float:
        """Seconds until the last used-up budget's period ends; 0 when no budget is used up."""
        wall = self._wall()
        for period in self._periods:
            if period.used_up:
                period.settle(wall)
        return max((p.ends_at - wall for p in self._periods if p.used_up), default=0.0)

    def acquire(self, size: int, now: float) -> None:
        """Does nothing: the cost of an attempt is known at its end."""

    def release(self) -> None:
        """Does nothing, as `acquire`."""

    def snapshot(self) -> list[dict[str, Any]]:
        """For each budget a dict of `per`, `usd`, `spent` (USD) and `ends_in` (seconds)."""
        wall = self._wall()
        for period in self._periods:
            period.settle(wall)
        return [
            {
                "per": period.budget.per,
                "usd": period.budget.usd,
                "spent": period.spent,
                "ends_in": period.ends_at - wall,
            }
            for period in self._periods
        ]

    def _report_reached(self, period: _BudgetPeriod) -> None:
        """Reports once per period the warning mark, and once that the budget is used up."""
        budget, was_used_up = period.budget, bool(period.used_up)
        if not was_used_up:
            period.update_used_up()
        used_up = bool(period.used_up)
        if used_up and not was_used_up and self.revision is not None:
            self.revision.value += 1
        if period.warned and used_up == was_used_up:
            return
        period.warned = True
        event = BudgetReached(
            self._router, self.owner, budget.usd, budget.per, period.spent, used_up=used_up
        )
        self._dispatcher.post("budget_reached", event)

    def __repr__(self) -> str:
        spent = ", ".join(f"{p.spent:g} of {p.budget}" for p in self._periods)
        return f"<Account {self.owner} {spent}>"
