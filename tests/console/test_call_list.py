"""The last calls that are kept."""

from __future__ import annotations

from multirouter.console.call_list import CAPACITY, NOTABLE_CAPACITY, CallList


def add(calls: CallList, number: int, ending: str) -> None:
    calls.add({"time": f"{number:06}", "ending": ending})


def times(found: list[dict[str, str]]) -> list[int]:
    return [int(call["time"]) for call in found]


def test_calls_that_failed_are_kept_longer() -> None:
    """Thousands of answered calls later, those that failed over or failed are still shown."""
    calls = CallList()
    for number in range(10_000):
        add(calls, number, "failed_over" if number < 100 else "answered")
    shown = times(calls.shown(50))
    assert shown[:50] == list(range(9_999, 9_949, -1))
    assert shown[50:] == list(range(99, 99 - NOTABLE_CAPACITY, -1))
    assert times(calls.newest(3)) == [9_999, 9_998, 9_997]
    assert len(calls.newest(10_000)) == CAPACITY


def test_no_call_is_shown_twice() -> None:
    """A call that failed just now is in both lists, and is shown once, in its place."""
    calls = CallList()
    for number, ending in enumerate(("answered", "failed", "answered", "cancelled")):
        add(calls, number, ending)
    assert times(calls.shown(50)) == [3, 2, 1, 0]
    assert times(calls.shown(2)) == [3, 2, 1]


def test_answered_calls_are_made_when_they_are_read() -> None:
    """A call that is only read on demand takes its place among the others."""
    calls = CallList()
    made: list[str] = []

    def read() -> dict[str, str]:
        made.append("1")
        return {"time": "000001", "ending": "answered"}

    add(calls, 0, "failed")
    calls.add_answered(read)
    add(calls, 2, "answered")
    assert not made
    assert times(calls.shown(50)) == [2, 1, 0]
    assert made == ["1"]
