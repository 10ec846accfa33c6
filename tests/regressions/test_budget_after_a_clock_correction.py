"""After a clock that was years ahead is corrected, budgets count in the current period again.

A machine that starts with a wrong date and corrects it later does that.
"""

from __future__ import annotations

from datetime import UTC, datetime

from multirouter.core.cost.budget import Budget
from tests.core.cost.test_account import AccountBench

YEARS = 10 * 365 * 86_400.0


def test_spending_moves_to_the_current_period() -> None:
    """The spending stays counted, and the next period begins at its calendar date."""
    till = AccountBench(Budget(1), Budget(1, "month"))
    correct_time = till.now
    till.now += YEARS
    till.charge(1.0)
    till.now = correct_time
    rejection = till.account.rejection()
    assert rejection.endswith("used up until 2026-11-22 00:00 UTC")
    assert till.account.ready_in() == datetime(2026, 12, 1, tzinfo=UTC).timestamp() - correct_time
    till.now = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert till.account.rejection() == ""


def test_later_charges_count_in_the_current_period() -> None:
    """A budget that is not used up moves to the corrected calendar as well."""
    till = AccountBench(Budget(1))
    correct_time = till.now
    till.now += YEARS
    till.charge(0.4)
    till.now = correct_time
    till.charge(0.4)
    assert [period["ends_in"] for period in till.account.snapshot()] == [12 * 3_600]
    till.now += 86_400
    till.charge(0.4)
    assert till.account.rejection() == ""
