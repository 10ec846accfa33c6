"""Budgets and accounts: calendar periods, warnings, and rejection until the period ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.cost.account import Account
from multirouter.core.cost.budget import Budget, as_budgets
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import BudgetReached
from multirouter.errors import ConfigurationError
from multirouter.testing import Recorder
from tests.core.kit import fail_on_hook_error

BERLIN = ZoneInfo("Europe/Berlin")
INDIA = timezone(timedelta(hours=5.5))
NEPAL = timezone(timedelta(hours=5.75))


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
        (
            Budget(1, "hour", zone=NEPAL),
            at(2026, 1, 1, 2, 59, zone=NEPAL),
            at(2026, 1, 1, 3, zone=NEPAL),
        ),
        (Budget(1), at(2026, 12, 31, 23, 59), at(2027, 1, 1)),
        (Budget(1), at(2026, 12, 31, 23, 59) + 58.25, at(2027, 1, 1)),
        (Budget(1, zone=INDIA), at(2026, 5, 1, zone=INDIA), at(2026, 5, 2, zone=INDIA)),
        # The days on which clocks change have 23 and 25 hours.
        (Budget(1, zone=BERLIN), at(2026, 3, 29, zone=BERLIN), at(2026, 3, 28, 23) + 23 * 3600),
        (Budget(1, zone=BERLIN), at(2026, 10, 25, zone=BERLIN), at(2026, 10, 24, 22) + 25 * 3600),
        (Budget(1, "month"), at(2028, 2, 29, 12), at(2028, 3, 1)),
        (Budget(1, "month"), at(2026, 1, 31), at(2026, 2, 1)),
        (Budget(1, "month"), at(2026, 2, 14), at(2026, 3, 1)),
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
        {"usd": 1e12 + 1},
        {"usd": float("nan")},
        {"usd": 1, "per": "days"},
        {"usd": 1, "warn_at": 0},
        {"usd": 1, "warn_at": 1.1},
        {"usd": 1, "zone": "Berlin"},
    ],
)
def test_invalid_budgets(wrong: dict[str, Any]) -> None:
    """The error names the invalid setting."""
    with pytest.raises(ConfigurationError, match=r"^Budget\.(usd|per|warn_at|zone): "):
        Budget(**wrong)
    assert Budget(1e12).usd == 1e12


def test_as_budgets() -> None:
    """None, one or several budgets of different periods are valid; anything else is not."""
    hour, day = Budget(1, "hour"), Budget(10)
    assert as_budgets("x", None) == ()
    assert as_budgets("x", day) == (day,)
    assert as_budgets("x", [hour, day]) == (hour, day)
    for wrong, why in (
        (5, "must be a Budget or a list of them, got 5"),
        (["10 USD"], "must be a Budget or a list of them, got '10 USD'"),
        ([day, Budget(3)], "must have one budget per period, got two per day"),
    ):
        with pytest.raises(ConfigurationError, match=f"^x: {why}$"):
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
    assert not bench.account.admits(0, 0.0)
    bench.now = at(2026, 11, 22)
    assert bench.account.rejection() == ""
    assert bench.account.admits(0, 0.0)
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


def test_a_charge_at_the_end_of_a_period_counts_in_the_next() -> None:
    """The instant at which a period ends belongs to the next period."""
    bench = AccountBench(Budget(10))
    bench.charge(4.0)
    bench.now = at(2026, 11, 22)
    bench.charge(0.5)
    assert [s["spent"] for s in bench.account.snapshot()] == [0.5]


def test_snapshot_of_an_account() -> None:
    """It has the amount and the spending of each budget, and the time to its end."""
    bench = AccountBench(Budget(1, "hour"), Budget(10))
    bench.now = at(2026, 11, 21, 12, 15)
    bench.charge(0.25)
    assert bench.account.snapshot() == [
        {"per": "hour", "usd": 1, "spent": 0.25, "ends_in": 45 * 60.0},
        {"per": "day", "usd": 10, "spent": 0.25, "ends_in": 11.75 * 3600.0},
    ]
    assert repr(bench.account) == (
        "<Account router 0.25 of budget of 1 USD per hour, 0.25 of budget of 10 USD per day>"
    )
    bench.account.apply(())
    assert bench.account.ready_in() == 0.0


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


def test_a_changed_budget_reports_only_what_is_new() -> None:
    """What was reported is not reported again, unless the new budget is reached anew."""
    bench = AccountBench(Budget(10))
    bench.charge(9.0)
    bench.account.apply((Budget(10, warn_at=0.5),))
    bench.charge(0.1)
    assert bench.reported() == [("day", False)]
    bench.account.apply((Budget(5),))
    bench.charge(0.1)
    assert bench.reported()[1:] == [("day", True)]
    bench.account.apply((Budget(4),))
    bench.charge(0.1)
    assert bench.reported()[2:] == []


def test_restored_spending_is_not_reported_again() -> None:
    """The warning and the end of a budget that restored amounts reach were reported before."""
    for restored, later in ((9.0, [("day", True)]), (10.0, [])):
        bench = AccountBench(Budget(10))
        bench.account.restore(restored - 1.0, bench.now)
        bench.account.restore(1.0, bench.now)
        bench.charge(0.5)
        assert bench.reported() == []
        bench.charge(0.5)
        assert bench.reported() == later
        assert bench.account.periods[0].own == 1.0


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


def shared_account(usd: float = 10.0) -> tuple[Account, Recorder, list[float]]:
    """An account with one budget and a clock that can be set."""
    recorder, clock = Recorder(), [at(2026, 5, 1, 12)]
    dispatcher = EventDispatcher((recorder,), fail_on_hook_error)
    account = Account("r", "router", lambda: clock[0], dispatcher)
    account.apply((Budget(usd),))
    account.revision = ChangeCounter()
    return account, recorder, clock


def test_a_share_is_of_what_is_left() -> None:
    """What other processes have spent counts; a renewed share admits again."""
    account, _, clock = shared_account()
    (period,) = account.periods
    period.set_share(0.5)
    account.charge(5.0)
    assert (
        account.rejection()
        == "the share of this process in the budget of 10 USD per day is used up"
    )
    assert account.ready_in() == 1.0
    assert account.revision is not None
    used_up = account.revision.value
    account.renew(period, 0.5, 7.0, 1.0)
    assert account.revision.value == used_up + 1
    assert account.rejection() == ""
    assert account.ready_in() == 0.0
    account.charge(1.9)
    assert account.rejection() == ""
    account.charge(0.2)
    assert "share" in account.rejection()
    account.renew(period, 0.9, 7.1, 2.9)
    assert "used up until" in account.rejection()
    assert account.ready_in() == account.ends_in(period) == 12 * 3600.0
    clock[0] = at(2026, 5, 2, 12)
    assert account.rejection() == ""
    assert account.snapshot()[0]["spent"] == 0.0


def test_a_snapshot_in_a_fleet_is_of_all_processes() -> None:
    """The budget is marked as shared, and its spending is that of all processes."""
    account, _, _ = shared_account()
    account.charge(1.0)
    account.renew(account.periods[0], 0.5, 4.0, 2.0)
    assert account.snapshot() == [
        {"per": "day", "usd": 10.0, "spent": 3.0, "ends_in": 12 * 3600.0, "shared": True}
    ]
    assert repr(account) == "<Account router 3 of budget of 10 USD per day>"


def test_a_share_without_news_of_the_others_is_of_what_is_left() -> None:
    """A changed share counts from what was spent, by this process and by the others, till now."""
    account, _, clock = shared_account()
    (period,) = account.periods
    account.charge(2.0)
    account.renew(period, 0.5, 9.0, 4.0)
    period.set_share(0.5)  # of 4 USD
    account.charge(1.9)
    assert account.rejection() == ""
    account.charge(0.2)
    assert "share" in account.rejection()
    assert period.limited == 1
    clock[0] = at(2026, 5, 2, 12)
    account.charge(4.9)
    assert account.rejection() == ""
    account.charge(0.2)
    assert "share" in account.rejection()
    assert period.limited == 2


def test_the_demand_of_a_process_is_all_that_it_has_spent() -> None:
    """It is summed over all periods: shares follow it, and a new period must not lower them."""
    account, _, clock = shared_account()
    account.charge(1.0)
    account.charge(2.0)
    clock[0] = at(2026, 5, 2, 12)
    account.charge(4.0)
    assert account.periods[0].demand == 7.0


def test_the_revision_rises_by_one_with_each_change() -> None:
    """It rises when the budget is used up and when it admits again, and otherwise stays."""
    account, _, _ = shared_account()
    (period,) = account.periods
    assert account.revision is not None
    seen = []
    for step in (
        lambda: account.charge(9.0),
        lambda: account.renew(period, 0.5, 9.5, 0.0),  # nothing was used up
        lambda: account.charge(1.0),
        lambda: account.charge(1.0),  # an attempt that was in flight
        lambda: account.renew(period, 0.5, 9.5, 0.0),  # still used up
    ):
        step()
        seen.append(account.revision.value)
    assert seen == [0, 0, 1, 1, 1]


def test_the_fleets_spending_is_reported_once() -> None:
    """The warning and the end by what all have spent, and nothing for the own share."""
    account, recorder, _ = shared_account()
    (period,) = account.periods
    account.renew(period, 0.1, 5.0, 0.0)
    account.charge(2.0)
    account._dispatcher.deliver()
    assert recorder.of("budget_reached") == []
    account.renew(period, 0.1, 5.0, 6.5)
    account.renew(period, 0.1, 5.0, 9.0)
    account.renew(period, 0.1, 5.0, 9.5)
    account._dispatcher.deliver()
    events = recorder.of("budget_reached")
    assert [(event.spent, event.used_up) for event in events] == [(8.5, False), (11.0, True)]


def test_what_was_restored_is_not_counted_twice() -> None:
    """The amount of an earlier process is a part of what others have spent."""
    account, _, clock = shared_account()
    (period,) = account.periods
    account.restore(3.0, clock[0])
    account.charge(1.0)
    assert period.own == 1.0
    account.renew(period, 0.5, 4.0, 4.0)
    assert account.snapshot()[0]["spent"] == 5.0
    fresh, _, clock = shared_account()
    (period,) = fresh.periods
    fresh.restore(3.0, clock[0])
    fresh.renew(period, 0.5, 5.0, 0.0)
    assert fresh.snapshot()[0]["spent"] == 3.0


def test_a_period_from_a_wrong_clock_is_corrected() -> None:
    """Its spending counts in the current period once the clock is right again."""
    account, _, clock = shared_account()
    clock[0] = at(2031, 1, 1)
    account.charge(10.0)
    clock[0] = at(2026, 5, 1, 12)
    assert "used up until 2026-05-02 00:00" in account.rejection()
