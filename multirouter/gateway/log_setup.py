"""Log output of a serving process: JSON lines, or a readable format on a terminal."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from multirouter.providers import json_bytes

_encode = json.JSONEncoder(default=repr).encode
"""Made once: structlog's own renderer makes an encoder for each event."""


class LossyStderr:
    """Standard error, whose failures lose lines and nothing else.

    It cannot be written when a terminal was closed, a disk is full or the reader of a pipe has
    ended; requests are answered all the same.
    """

    def write(self, text: str) -> None:
        """Writes text, or loses it."""
        try:
            sys.stderr.write(text)
        except (OSError, ValueError):  # not `suppress`: there is a line for each request
            return

    def flush(self) -> None:
        """Writes what is buffered, or keeps it."""
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def configure_logs() -> None:
    """Configures structlog to write to stderr at level info, unless it is configured already."""
    import structlog

    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            timestamper(),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else render_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(LossyStderr()),  # type: ignore[arg-type] # it writes and flushes, no more
        cache_logger_on_first_use=True,
    )


class RequestLogger:
    """The logger of requests: its lines are those of structlog as it is configured here.

    structlog runs a chain of processors for each event, most of which have nothing to do for one
    without an exception. Other events are structlog's.
    """

    def __init__(self) -> None:
        import structlog

        self._others: Any = structlog.get_logger("multirouter.gateway").bind()
        self._add_timestamp = timestamper()
        self._stderr = LossyStderr()

    def info(self, event: str, **fields: Any) -> None:
        """Writes one line."""
        fields["event"] = event
        fields["level"] = "info"
        self._add_timestamp(None, "info", fields)
        self._stderr.write(render_json(None, "info", fields) + "\n")

    def __getattr__(self, name: str) -> Any:
        """The methods of other levels."""
        return getattr(self._others, name)


def request_logger() -> RequestLogger | None:
    """The logger of requests; None when structlog is configured otherwise, or for a terminal."""
    import structlog

    ours = structlog.get_config()["processors"][-1] is render_json
    return RequestLogger() if ours else None


def render_json(_logger: Any, _level: str, event: Any) -> str:
    """An event as a line of JSON in ASCII, so that no terminal interprets what a client sent."""
    try:
        line = json_bytes.dumps(event)
    except (TypeError, ValueError):
        return _encode(event)
    return line.decode() if line.isascii() else _encode(event)


def timestamper(wall: Callable[[], float] = time.time) -> Callable[[Any, str, Any], Any]:
    """A processor that adds the time, ISO 8601 in UTC, as `structlog.processors.TimeStamper` does.

    That one formats the date for each event; this one once a second, in a quarter of the time.

    Args:
        wall: seconds since 1970.
    """
    last, prefix = -1, ""

    def add_timestamp(_logger: Any, _level: str, event: Any) -> Any:
        nonlocal last, prefix
        second, fraction = divmod(wall(), 1.0)
        if second != last:
            last, prefix = int(second), time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        event["timestamp"] = f"{prefix}.{int(fraction * 1e6):06d}Z"
        return event

    return add_timestamp
