"""The lines of a serving process' log: one event each, in ASCII, with the time."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.gateway.log_setup import _line, stamper
from multirouter.providers import json_bytes as jsontext


@pytest.fixture(params=["with orjson", "without"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both installations: with the extra `gateway`, and without."""
    if request.param == "without":
        monkeypatch.setattr(jsontext, "_orjson", None)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize(
    "odd", ["ä€😀", "\x9b31m\x1b[2J\r\n", "\ud83d", 2**70, object(), {1}, {2: [None]}]
)
def test_a_line_is_ascii_and_one_line(odd: Any) -> None:
    """Whatever an event holds: no line break, nothing that a terminal obeys, and JSON."""
    line = _line(None, "info", {"event": "request", "odd": odd})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["event"] == "request"


@pytest.mark.usefixtures("either")
def test_a_number_that_is_none_does_not_break_a_line() -> None:
    """NaN is told in one way or the other, and the line is read."""
    assert json.loads(_line(None, "info", {"ms": math.nan})).keys() == {"ms"}


@given(st.lists(st.floats(0, 4e9, allow_nan=False), min_size=1, max_size=5))
def test_the_time_is_told_in_utc(times: list[float]) -> None:
    """Property: the stamp is the time that a clock told, to the microsecond, in any order."""
    clock = iter(times)
    stamp = stamper(lambda: next(clock))
    for at in times:
        told = stamp(None, "info", {})["timestamp"]
        assert told.endswith("Z")
        assert len(told) == len("2026-01-01T00:00:00.000000Z")
        assert (
            abs(datetime.fromisoformat(told) - datetime.fromtimestamp(at, UTC)).total_seconds()
            <= 2e-6
        )
