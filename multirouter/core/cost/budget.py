"""A budget: how much may be spent per hour, day or month."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, get_args

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError

Period = Literal["hour", "day", "month"]
PERIODS: tuple[Period, ...] = get_args(Period)

WallClock = Callable[[], float]
"""Returns the wall-clock time, seconds since 1970: periods end by the calendar."""

_HOUR = 3_600


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
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
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
