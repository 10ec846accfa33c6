"""Log lines of a serving process: one event each, ASCII JSON with a timestamp."""

from __future__ import annotations

import json
import math
import sys
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog import WriteLoggerFactory

from multirouter.gateway.log_setup import (
    LossyStderr,
    configure_logs,
    render_json,
    request_logger,
    timestamper,
)
from multirouter.providers import json_bytes


@pytest.fixture(params=["with orjson", "without"])
def with_and_without_orjson(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs each test with and without orjson, which is optional."""
    if request.param == "without":
        monkeypatch.setattr(json_bytes, "_orjson", None)


@pytest.mark.usefixtures("with_and_without_orjson")
@pytest.mark.parametrize(
    "value", ["ä€😀", "\x9b31m\x1b[2J\r\n", "\ud83d", 2**70, object(), {1}, {2: [None]}]
)
def test_line_is_single_line_ascii_json(value: Any) -> None:
    """Any value: no line break, no control characters, and valid JSON."""
    line = render_json(None, "info", {"event": "request", "value": value})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["event"] == "request"


@pytest.mark.usefixtures("with_and_without_orjson")
def test_nan_does_not_fail_a_line() -> None:
    """A line with NaN can be parsed."""
    assert json.loads(render_json(None, "info", {"ms": math.nan})).keys() == {"ms"}


@given(st.lists(st.floats(0, 4e9, allow_nan=False), min_size=1, max_size=5))
def test_timestamp_is_utc(times: list[float]) -> None:
    """Property: the timestamp is the clock's time to the microsecond, also if it goes back."""
    clock = iter(times)
    stamp = timestamper(lambda: next(clock))
    for at in times:
        timestamp = stamp(None, "info", {})["timestamp"]
        assert timestamp.endswith("Z")
        assert len(timestamp) == len("2026-01-01T00:00:00.000000Z")
        assert (
            abs(datetime.fromisoformat(timestamp) - datetime.fromtimestamp(at, UTC)).total_seconds()
            <= 2e-6
        )


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("closed")])
def test_unwritable_stderr_loses_the_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that cannot be written raises nothing."""

    class Unwritable(StringIO):
        def write(self, text: str) -> int:
            raise error

        def flush(self) -> None:
            raise error

    monkeypatch.setattr(sys, "stderr", Unwritable())
    WriteLoggerFactory(LossyStderr())().info("a line")  # type: ignore[arg-type]


def test_lines_of_requests_are_those_of_structlog(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logger of requests writes what structlog would, and leaves other levels to it."""
    stderr = StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    structlog.reset_defaults()
    try:
        assert request_logger() is None  # structlog is not configured
        configure_logs()
        ours = request_logger()
        assert ours is not None
        loggers = (ours, structlog.get_logger("multirouter.gateway"))
        for level in ("info", "error"):
            for logger in loggers:
                getattr(logger, level)("request", status=200, key="ä", trail=["up success 1ms"])
    finally:
        structlog.reset_defaults()
    lines = [json.loads(line) for line in stderr.getvalue().splitlines()]
    times = [line.pop("timestamp") for line in lines]
    assert sorted(times) == times
    assert [list(line) for line in lines[::2]] == [list(line) for line in lines[1::2]]
    assert lines[::2] == lines[1::2]
    assert [line["level"] for line in lines[::2]] == ["info", "error"]
