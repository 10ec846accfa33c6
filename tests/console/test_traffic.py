"""Calls of the last hour by the minute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.console.traffic import MINUTES, Traffic, percentile, step_of

HOUR = 3_600.0
START = 1_700_000_000.0 - 1_700_000_000.0 % 60


def test_minutes_are_counted() -> None:
    """A minute has its calls by ending and by provider, its tokens and its cost."""
    traffic = Traffic()
    traffic.add(START, "answered", 0.2, "a", 10, 0.5)
    traffic.add(START + 59.9, "failed_over", 0.4, "b", 20, 0.25)
    traffic.add(START + 60, "failed", 3.0, None, 0, 0.0)
    first, second = traffic.read(START + 60)
    assert first["counts"] == {"answered": 1, "failed_over": 1}
    assert first["providers"] == {"a": 1, "b": 1}
    assert (first["tokens"], first["cost"]) == (30, 0.75)
    assert (second["counts"], second["providers"]) == ({"failed": 1}, {})


def test_minutes_are_kept_for_an_hour() -> None:
    """An hour later a minute is left out, also when no call came since."""
    traffic = Traffic()
    traffic.add(START, "answered", 0.1, "a", 0, 0.0)
    assert len(traffic.read(START + HOUR - 0.1)) == 1
    assert traffic.read(START + HOUR) == []
    for minute in range(200):
        traffic.add(START + 60 * minute, "answered", 0.1, "a", 0, 0.0)
    assert len(traffic.read(START + 60 * 199)) == MINUTES


def test_a_clock_that_is_set_back() -> None:
    """Calls after a correction of the wall clock are counted in the newest minute."""
    traffic = Traffic()
    traffic.add(START + 600, "answered", 0.1, "a", 0, 0.0)
    traffic.add(START, "answered", 0.1, "a", 0, 0.0)
    assert [minute["counts"] for minute in traffic.read(START + 600)] == [{"answered": 2}]


@given(st.lists(st.floats(0.002, 1_000.0), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_percentiles_are_close(latencies: list[float], share: float) -> None:
    """A percentile differs from the exact one by less than one step of the histogram."""
    steps: dict[int, int] = {}
    for seconds in latencies:
        steps[step_of(seconds)] = steps.get(step_of(seconds), 0) + 1
    exact = next(
        value
        for number, value in enumerate(sorted(latencies), 1)
        if number >= share * len(latencies)
    )
    found = percentile(steps, share)
    assert found == pytest.approx(exact, rel=0.1)


def test_no_calls_have_no_percentile() -> None:
    """Without calls a percentile is unknown, and not 0."""
    assert percentile({}, 0.5) is None
