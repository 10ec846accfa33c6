"""Budgets: their calendar, their warnings, and whom they keep out until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from multirouter.core.cost.budgets import Account, Budget, budgets
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import BudgetReached
from multirouter.errors import ConfigurationError
from multirouter.testing import Recorder
from tests.core.kit import unheard

BERLIN = ZoneInfo("Europe/Berlin")
INDIA = timezone(timedelta(hours=5.5))


def at(year: int, month: int, day: int, *time: int, zone: tzinfo = UTC) -> float:
    """A date as seconds since 1970."""
    hour, minute = (*time, 0, 0)[:2]
    return datetime(year, month, day, hour, minute, tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("budget", "now", "end"),
    [
        (Budget(1, "hour"), at(2026, 11, 21, 2, 59), at(2026, 11, 21, 3)),
        (Budget(1, "hour"), at(2026, 11, 21, 3), at(2026, 11, 21, 4)),
        (
            Budget(1, "hour", zone=INDIA),
            at(2026, 1, 1, 2, 59, zone=INDIA),
            at(2026, 1, 1, 3, zone=INDIA),
        ),
        (Budget(1), at(2026, 12, 31, 23, 59), at(2027, 1, 1)),
        (Budget(1, zone=INDIA), at(2026, 5, 1, zone=INDIA), at(2026, 5, 2, zone=INDIA)),
        # The days on which clocks change have 23 and 25 hours.
        (Budget(1, zone=BERLIN), at(2026, 3, 29, zone=BERLIN), at(2026, 3, 28, 23) + 23 * 3600),
        (Budget(1, zone=BERLIN), at(2026, 10, 25, zone=BERLIN), at(2026, 10, 24, 22) + 25 * 3600),
        (Budget(1, "month"), at(2028, 2, 29, 12), at(2028, 3, 1)),
        (Budget(1, "month"), at(2026, 1, 31), at(2026, 2, 1)),
        (Budget(1, "month"), at(2026, 12, 1), at(2027, 1, 1)),
    ],
)
def test_periods_end_by_the_calendar(budget: Budget, now: float, end: float) -> None:
    """An hour, a day and a month end when they do in the budget's own time zone."""
    assert budget.ends_after(now) == end


@pytest.mark.parametrize(
    "wrong",
    [
        {"usd": 0},
        {"usd": float("nan")},
        {"usd": 1, "per": "days"},
        {"usd": 1, "warn_at": 0},
        {"usd": 1, "warn_at": 1.1},
        {"usd": 1, "zone": "Berlin"},
    ],
)
def test_bad_budgets_are_refused(wrong: dict[str, Any]) -> None:
    """A budget says at once what is wrong with it."""
    with pytest.raises(ConfigurationError, match=r"Budget\.(usd|per|warn_at|zone)"):
        Budget(**wrong)


def test_several_budgets() -> None:
    """None, one or several may be given, of unlike periods; anything else is refused."""
    hour, day = Budget(1, "hour"), Budget(10)
    assert budgets("x", None) == ()
    assert budgets("x", day) == (day,)
    assert budgets("x", [hour, day]) == (hour, day)
    for wrong in (5, [day, Budget(3)], ["10 USD"]):
        with pytest.raises(ConfigurationError, match=r"^x: "):
            budgets("x", wrong)


class Till:
    """An account with a clock by hand and an ear for its news."""

    def __init__(self, *found: Budget, now: float = at(2026, 11, 21, 12)) -> None:
        self.now = now
        self.heard = Recorder()
        dispatcher = EventDispatcher([self.heard], unheard)
        self.dispatcher = dispatcher
        self.account = Account("tested", "router", lambda: self.now, dispatcher)
        self.account.adopt(found)

    def book(self, usd: float) -> None:
        """Books, and lets the news be told."""
        self.account.book(usd)
        self.dispatcher.deliver()

    def news(self) -> list[tuple[str, bool]]:
        """Period and end of each budget that was told of."""
        return [(news.per, news.used_up) for news in self.heard.of("budget_reached")]


def test_a_budget_from_end_to_end() -> None:
    """It warns once, refuses once it is used up, and is whole again when the period is over."""
    till = Till(Budget(10))
    till.book(7.9)
    assert till.news() == []
    till.book(0.2)
    till.book(0.2)
    assert till.news() == [("day", False)]
    assert till.account.refuses() == ""
    assert till.account.ready_in() == 0.0
    till.book(1.7)
    till.book(1.0)  # one that was under way
    assert till.news() == [("day", False), ("day", True)]
    assert till.account.refuses() == "budget of 10 USD a day used up until 2026-11-22 00:00 UTC"
    assert till.account.ready_in() == 12 * 3600
    till.now = at(2026, 11, 22)
    assert till.account.refuses() == ""
    till.book(9.0)
    assert till.news()[2:] == [("day", False)]
    told = till.heard.of("budget_reached")[1]
    assert told == BudgetReached("tested", "router", 10, "day", told.spent, used_up=True)
    assert told.spent == pytest.approx(10.0)


def test_all_at_once() -> None:
    """What warns and uses up in one booking is told as used up, alone."""
    till = Till(Budget(1))
    till.book(5.0)
    assert till.news() == [("day", True)]


def test_the_strictest_budget_counts() -> None:
    """Of several, each refuses by itself; the wait is for the last of them."""
    till = Till(Budget(1, "hour"), Budget(2, "month"))
    till.book(1.0)
    assert "an hour" in till.account.refuses()
    till.now += 3600.0
    assert till.account.refuses() == ""
    till.book(1.0)
    assert till.account.ready_in() == at(2026, 12, 1) - till.now
    assert [s["spent"] for s in till.account.standing()] == [1.0, 2.0]


def test_a_clock_that_is_set_back() -> None:
    """Money that was spent is not given back because a clock goes backwards."""
    till = Till(Budget(1))
    till.book(1.0)
    till.now -= 86400.0
    assert till.account.refuses()
    assert till.account.ready_in() == 36 * 3600


def test_another_sum_under_way() -> None:
    """What was spent stays spent under another sum, a warning is due again, a period begins at 0.

    A budget of another zone has another end.
    """
    till = Till(Budget(1))
    till.book(1.0)
    till.account.adopt((Budget(10), Budget(5, "month")))
    assert till.account.refuses() == ""
    assert [s["spent"] for s in till.account.standing()] == [1.0, 0.0]
    till.book(7.0)
    assert till.news() == [("day", True), ("day", False), ("month", True)]
    till.account.adopt((Budget(8, zone=BERLIN),))
    assert till.account.refuses().endswith("2026-11-22 00:00 CET")
    till.account.adopt(())
    assert till.account.refuses() == ""
    assert repr(till.account) == "<Account router >"


def test_what_an_earlier_run_has_spent() -> None:
    """Sums can be taken over in silence; what lies in a period that is over counts nothing."""
    till = Till(Budget(1, "hour"), Budget(10))
    till.account.restore(9.0, till.now - 7200.0)
    till.account.restore(100.0, till.now - 86400.0)
    assert [s["spent"] for s in till.account.standing()] == [0.0, 9.0]
    assert till.account.refuses() == ""
    till.account.restore(1.0, till.now)
    assert till.account.refuses().startswith("budget of 1 USD an hour")
    till.dispatcher.deliver()
    assert till.news() == []
    assert "9 of" not in repr(till.account)


def test_accounts_take_nothing_at_the_door() -> None:
    """An account stands among limits: coming and going changes nothing."""
    till = Till(Budget(1))
    till.account.take(100, 0.0)
    till.account.leave()
    assert till.account.standing()[0]["spent"] == 0.0
