"""A clock that was years ahead for a moment left its budgets used up for years, after it was set.

So it is where a machine begins with a wrong date and learns the right one later.
"""

from __future__ import annotations

from datetime import UTC, datetime

from multirouter.core.cost.budgets import Budget
from tests.core.cost.test_budgets import Till

YEARS = 10 * 365 * 86_400.0


def test_what_was_spent_then_counts_in_the_period_of_now() -> None:
    """The money is not given back, and the next period begins when the calendar says."""
    till = Till(Budget(1), Budget(1, "month"))
    right = till.now
    till.now += YEARS
    till.book(1.0)
    till.now = right
    told = till.account.refuses()
    assert told.endswith("used up until 2026-11-22 00:00 UTC")
    assert till.account.ready_in() == datetime(2026, 12, 1, tzinfo=UTC).timestamp() - right
    till.now = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert till.account.refuses() == ""


def test_bookings_go_on_in_the_period_of_now() -> None:
    """Without being used up it goes over to the right calendar as well."""
    till = Till(Budget(1))
    right = till.now
    till.now += YEARS
    till.book(0.4)
    till.now = right
    till.book(0.4)
    assert [told["ends_in"] for told in till.account.standing()] == [12 * 3_600]
    till.now += 86_400
    till.book(0.4)
    assert till.account.refuses() == ""
