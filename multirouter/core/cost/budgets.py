"""May I, by money: what providers, routes and the router may spend in an hour, a day or a month."""

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

Wall = Callable[[], float]
"""Gives wall-clock time, seconds since 1970: periods end by the calendar."""

_HOUR = 3_600

_FAR: dict[Period, float] = {"hour": 2 * _HOUR, "day": 50 * _HOUR, "month": 63 * 24 * _HOUR}
"""Two of the longest periods, seconds: who is so far from a period's end has another calendar."""

_ROUNDED = 1.0 - 1e-9
"""Sums of many small amounts fall short of what they are by so little, at the most."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in one period; when it is used up, nothing starts until the next one.

    Attempts that are under way when it is used up are still paid: they may exceed it.

    Attributes:
        usd: US dollars in each period, above 0.
        per: `hour`, `day` or `month` of the calendar.
        warn_at: the share of it at which a warning is given, above 0 to 1.
        zone: the time zone in which days and months begin; left out, UTC, as the providers' own.
    """

    usd: float
    per: Period = "day"
    _: KW_ONLY
    warn_at: float = 0.8
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        check.number("Budget.usd", self.usd, above=0.0, most=1e12)
        if self.per not in PERIODS:
            raise ConfigurationError("Budget.per", f"unknown {check.near(str(self.per), PERIODS)}")
        check.number("Budget.warn_at", self.warn_at, above=0.0, most=1.0)
        if not isinstance(self.zone, tzinfo):
            raise ConfigurationError("Budget.zone", f"must be a tzinfo, not {self.zone!r}")

    def ends_after(self, wall: float) -> float:
        """The end of the period that `wall` lies in, seconds since 1970."""
        at = datetime.fromtimestamp(wall, self.zone)
        if self.per == "hour":
            # By the offset of the moment: where clocks change by half an hour, the hour that a
            # wall clock shows may have begun in the other half of the year.
            whole, ahead = math.floor(wall), at.utcoffset() or timedelta(0)
            return whole + _HOUR - (whole + ahead.total_seconds()) % _HOUR
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if self.per == "day":
            return (midnight + timedelta(days=1)).timestamp()
        next_month = midnight.replace(day=28) + timedelta(days=4)
        return next_month.replace(day=1).timestamp()

    def __str__(self) -> str:
        return f"budget of {self.usd:g} USD {'an' if self.per == 'hour' else 'a'} {self.per}"


def budgets(what: str, given: Any) -> tuple[Budget, ...]:
    """What was given as `budget=` as a tuple: none, one, or several of unlike periods.

    Raises:
        ConfigurationError: for anything else, or two budgets of one period.
    """
    if given is None:
        return ()
    if isinstance(given, Budget):
        return (given,)
    found = tuple(given) if isinstance(given, Iterable) else (given,)
    for budget in found:
        if not isinstance(budget, Budget):
            raise ConfigurationError(what, f"must be a Budget or several, not {budget!r}")
    if len({budget.per for budget in found}) < len(found):
        raise ConfigurationError(what, "has two budgets of one period")
    return found


class _Purse:
    """One budget's money in the period of now.

    Attributes:
        spent: USD booked in it.
        ends_at: when the period ends, seconds since 1970.
        earliest: before this, the clock that said so was wrong.
        used_up: why nothing may start before that, or "".
    """

    __slots__ = ("budget", "earliest", "ends_at", "spent", "used_up", "warned")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.spent = 0.0
        self.ends_at = self.earliest = -math.inf
        self.warned = False
        self.used_up = ""

    def settle(self, wall: float) -> None:
        """Begins a new period when the old one is over.

        A clock set back changes nothing, unless the period lies so far ahead that it was never
        true: then what was spent in it counts in the period of now.
        """
        if wall >= self.ends_at:
            self._end_after(wall)
            self.spent = 0.0
            self.warned = False
            self.used_up = ""
        elif wall < self.earliest:
            self._end_after(wall)
            self.mark()

    def _end_after(self, wall: float) -> None:
        self.ends_at = self.budget.ends_after(wall)
        self.earliest = self.ends_at - _FAR[self.budget.per]

    def adopt(self, budget: Budget, wall: float) -> None:
        """Goes on under another sum or in another zone; what was spent stays spent."""
        self.settle(wall)
        self.budget = budget
        self._end_after(wall)
        self.warned = self.warned and self.has_reached(budget.warn_at)
        self.mark()

    def has_reached(self, share: float) -> bool:
        """Whether that share of the budget is spent."""
        return self.spent >= self.budget.usd * share * _ROUNDED

    def mark(self) -> None:
        """Notes whether the budget is used up."""
        self.used_up = ""
        if self.has_reached(1.0):
            until = datetime.fromtimestamp(self.ends_at, self.budget.zone)
            self.used_up = f"{self.budget} used up until {until:%Y-%m-%d %H:%M %Z}"


class Account:
    """What one owner spends, against all of its budgets.

    It stands among the limits of a route: it refuses as they do, and takes nothing.

    Args:
        router: the router's name.
        owner: whose it is: `provider NAME`, `route NAME` or `router`.
        wall: the wall clock.
        wire: where the news of reached budgets goes.

    Attributes:
        revision: rises when the budgets of a provider are used up, as with all that shuts its
            door; None for the others.
    """

    __slots__ = ("_dispatcher", "_purses", "_router", "_wall", "owner", "revision")

    def __init__(self, router: str, owner: str, wall: Wall, dispatcher: EventDispatcher) -> None:
        self._router = router
        self.owner: str = owner
        self._wall = wall
        self._dispatcher = dispatcher
        self._purses: tuple[_Purse, ...] = ()
        self.revision: ChangeCounter | None = None

    def adopt(self, found: tuple[Budget, ...]) -> None:
        """Goes on under other budgets; what was spent in a period of the same kind stays."""
        old = {purse.budget.per: purse for purse in self._purses}
        for budget in found:
            if budget.per in old:
                old[budget.per].adopt(budget, self._wall())
        self._purses = tuple(old.get(budget.per) or _Purse(budget) for budget in found)

    def book(self, usd: float) -> None:
        """Books what was spent; posts the news of a budget that is reached by it."""
        wall = self._wall()
        for purse in self._purses:
            if not purse.earliest <= wall < purse.ends_at:
                purse.settle(wall)
            purse.spent += usd
            if purse.has_reached(purse.budget.warn_at):
                self._reached(purse)

    def restore(self, usd: float, at: float) -> None:
        """Books what was spent at an earlier time (of another process, say), without news.

        Args:
            usd: what was spent.
            at: when, seconds since 1970; what lies in a period that is over counts nothing.
        """
        wall = self._wall()
        for purse in self._purses:
            purse.settle(wall)
            if purse.budget.ends_after(at) == purse.ends_at:
                purse.spent += usd
                purse.warned = purse.has_reached(purse.budget.warn_at)
                purse.mark()

    def refuses(self, size: int = 0, now: float = 0.0) -> str:
        """Why nothing may start, in words, or ""."""
        for purse in self._purses:
            if purse.used_up:
                purse.settle(self._wall())
                if purse.used_up:
                    return purse.used_up
        return ""

    def ready_in(self, size: int = 0, now: float = 0.0) -> float:
        """Seconds until the period ends whose budget is used up; 0 when none is."""
        wall = self._wall()
        for purse in self._purses:
            if purse.used_up:
                purse.settle(wall)
        return max((p.ends_at - wall for p in self._purses if p.used_up), default=0.0)

    def take(self, size: int, now: float) -> None:
        """Nothing: what an attempt costs is known at its end."""

    def leave(self) -> None:
        """Nothing, as `take`."""

    def standing(self) -> list[dict[str, Any]]:
        """For each budget as plain data: `per`, `usd`, `spent` and `ends_in` (seconds)."""
        wall = self._wall()
        for purse in self._purses:
            purse.settle(wall)
        return [
            {
                "per": purse.budget.per,
                "usd": purse.budget.usd,
                "spent": purse.spent,
                "ends_in": purse.ends_at - wall,
            }
            for purse in self._purses
        ]

    def _reached(self, purse: _Purse) -> None:
        """Tells once that a warning is due, and once that all is spent."""
        budget, told = purse.budget, bool(purse.used_up)
        if not told:
            purse.mark()
        used_up = bool(purse.used_up)
        if used_up and not told and self.revision is not None:
            self.revision.value += 1
        if purse.warned and used_up == told:
            return
        purse.warned = True
        news = BudgetReached(
            self._router, self.owner, budget.usd, budget.per, purse.spent, used_up=used_up
        )
        self._dispatcher.post("budget_reached", news)

    def __repr__(self) -> str:
        spent = ", ".join(f"{p.spent:g} of {p.budget}" for p in self._purses)
        return f"<Account {self.owner} {spent}>"
