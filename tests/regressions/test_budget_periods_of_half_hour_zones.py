"""Hourly budgets end correctly in zones that change by half an hour (Lord Howe Island).

In April an hour's budget ended before it began, for half an hour; in October one hour lasted
ninety minutes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.cost.budget import PERIODS, Budget, Period

ZONES: list[tzinfo] = [
    UTC,
    *map(
        ZoneInfo,
        (
            "Australia/Lord_Howe",  # half an hour of daylight saving
            "Asia/Kathmandu",  # 5:45 ahead
            "America/Havana",  # midnight comes twice in autumn, never in spring
            "Africa/Cairo",  # as above
            "Europe/Berlin",
            "Antarctica/Troll",  # two hours of daylight saving
            "America/St_Johns",
        ),
    ),
]
MAX_LENGTH: dict[Period, float] = {"hour": 3_600, "day": 26 * 3_600, "month": 31 * 86_400 + 7_200}
FIRST, LAST = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2020, 2035))


@given(
    wall=st.floats(FIRST, LAST),
    share=st.floats(0, 0.999999),
    zone=st.sampled_from(ZONES),
    per=st.sampled_from(PERIODS),
)
def test_a_period_has_one_end_ahead(wall: float, share: float, zone: tzinfo, per: Period) -> None:
    """It lies ahead, at most a period away, and is the same for all instants up to it."""
    budget = Budget(1, per, zone=zone)
    end = budget.ends_after(wall)
    assert wall < end <= wall + MAX_LENGTH[per]
    assert budget.ends_after(wall + share * (end - wall)) == end


@pytest.mark.parametrize(
    "changes", [datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)]
)
def test_hours_around_the_change_end_within_an_hour(changes: datetime) -> None:
    """Minute by minute over both changes of 2026, each hour ends ahead, within an hour."""
    budget = Budget(1, "hour", zone=ZoneInfo("Australia/Lord_Howe"))
    for minute in range(-120, 121):
        wall = (changes + timedelta(minutes=minute)).timestamp()
        end = budget.ends_after(wall)
        assert wall < end <= wall + 3_600
        assert {budget.ends_after(wall + part * (end - wall)) for part in (0.3, 0.6, 0.99)} == {end}
