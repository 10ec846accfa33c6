"""Budgets and accounts: calendar periods, warnings, and rejection until the period ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from multirouter.core.cost.budgets import Account, Budget, as_budgets
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import BudgetReached
from multirouter.errors import ConfigurationError
from multirouter.testing import Recorder
from tests.core.kit import fail_on_hook_error

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
    """An hour, a day and a month end by the calendar of the budget's time zone."""
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
def test_invalid_budgets(wrong: dict[str, Any]) -> None:
    """The error names the invalid setting."""
    with pytest.raises(ConfigurationError, match=r"Budget\.(usd|per|warn_at|zone)"):
        Budget(**wrong)


def test_as_budgets() -> None:
    """None, one or several budgets of different periods are valid; anything else is not."""
    hour, day = Budget(1, "hour"), Budget(10)
    assert as_budgets("x", None) == ()
    assert as_budgets("x", day) == (day,)
    assert as_budgets("x", [hour, day]) == (hour, day)
    for wrong in (5, [day, Budget(3)], ["10 USD"]):
        with pytest.raises(ConfigurationError, match=r"^x: "):
            as_budgets("x", wrong)


class AccountBench:
    """An account with a manual clock, and the events that it reported."""

    def __init__(self, *budgets: Budget, now: float = at(2026, 11, 21, 12)) -> None:
        self.now = now
        self.recorder = Recorder()
        dispatcher = EventDispatcher([self.recorder], fail_on_hook_error)
        self.dispatcher = dispatcher
        self.account = Account("tested", "router", lambda: self.now, dispatcher)
        self.account.apply(budgets)

    def charge(self, usd: float) -> None:
        """Charges an amount and delivers the events."""
        self.account.charge(usd)
        self.dispatcher.deliver()

    def reported(self) -> list[tuple[str, bool]]:
        """Period and `used_up` of each reported event."""
        return [(event.per, event.used_up) for event in self.recorder.of("budget_reached")]


def test_a_budget_warns_rejects_and_renews() -> None:
    """It warns once, rejects when it is used up, and starts again with the next period."""
    bench = AccountBench(Budget(10))
    bench.charge(7.9)
    assert bench.reported() == []
    bench.charge(0.2)
    bench.charge(0.2)
    assert bench.reported() == [("day", False)]
    assert bench.account.rejection() == ""
    assert bench.account.ready_in() == 0.0
    bench.charge(1.7)
    bench.charge(1.0)  # an attempt that was in flight
    assert bench.reported() == [("day", False), ("day", True)]
    assert (
        bench.account.rejection() == "budget of 10 USD per day used up until 2026-11-22 00:00 UTC"
    )
    assert bench.account.ready_in() == 12 * 3600
    bench.now = at(2026, 11, 22)
    assert bench.account.rejection() == ""
    bench.charge(9.0)
    assert bench.reported()[2:] == [("day", False)]
    event = bench.recorder.of("budget_reached")[1]
    assert event == BudgetReached("tested", "router", 10, "day", event.spent, used_up=True)
    assert event.spent == pytest.approx(10.0)


def test_one_charge_that_uses_up_a_budget_reports_once() -> None:
    """A charge that passes the warning mark and uses the budget up is reported as used up only."""
    bench = AccountBench(Budget(1))
    bench.charge(5.0)
    assert bench.reported() == [("day", True)]


def test_the_strictest_budget_counts() -> None:
    """Each of several budgets rejects by itself; the wait is for the last of them."""
    bench = AccountBench(Budget(1, "hour"), Budget(2, "month"))
    bench.charge(1.0)
    assert "per hour" in bench.account.rejection()
    bench.now += 3600.0
    assert bench.account.rejection() == ""
    bench.charge(1.0)
    assert bench.account.ready_in() == at(2026, 12, 1) - bench.now
    assert [s["spent"] for s in bench.account.snapshot()] == [1.0, 2.0]


def test_a_clock_set_back_keeps_the_spending() -> None:
    """The spending of a period stays counted when the clock is set back."""
    bench = AccountBench(Budget(1))
    bench.charge(1.0)
    bench.now -= 86400.0
    assert bench.account.rejection()
    assert bench.account.ready_in() == 36 * 3600


def test_changed_budgets_keep_the_spending() -> None:
    """The spending of a period is kept under another amount, and the warning is due again.

    A new period starts at 0, and a budget of another time zone ends at another time.
    """
    bench = AccountBench(Budget(1))
    bench.charge(1.0)
    bench.account.apply((Budget(10), Budget(5, "month")))
    assert bench.account.rejection() == ""
    assert [s["spent"] for s in bench.account.snapshot()] == [1.0, 0.0]
    bench.charge(7.0)
    assert bench.reported() == [("day", True), ("day", False), ("month", True)]
    bench.account.apply((Budget(8, zone=BERLIN),))
    assert bench.account.rejection().endswith("2026-11-22 00:00 CET")
    bench.account.apply(())
    assert bench.account.rejection() == ""
    assert repr(bench.account) == "<Account router >"


def test_restored_spending() -> None:
    """Restored amounts cause no event; an amount of a past period is ignored."""
    bench = AccountBench(Budget(1, "hour"), Budget(10))
    bench.account.restore(9.0, bench.now - 7200.0)
    bench.account.restore(100.0, bench.now - 86400.0)
    assert [s["spent"] for s in bench.account.snapshot()] == [0.0, 9.0]
    assert bench.account.rejection() == ""
    bench.account.restore(1.0, bench.now)
    assert bench.account.rejection().startswith("budget of 1 USD per hour")
    bench.dispatcher.deliver()
    assert bench.reported() == []
    assert "9 of" not in repr(bench.account)


def test_starting_an_attempt_charges_nothing() -> None:
    """An account is used like a limit, but `acquire` and `release` change nothing."""
    bench = AccountBench(Budget(1))
    bench.account.acquire(100, 0.0)
    bench.account.release()
    assert bench.account.snapshot()[0]["spent"] == 0.0
