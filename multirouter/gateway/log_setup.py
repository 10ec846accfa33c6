"""How a serving process writes its logs: JSON lines, or readable ones on a terminal."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from multirouter.providers import json_bytes as jsontext

_encode = json.JSONEncoder(default=repr).encode
"""Made once: structlog's own renderer makes an encoder for each event."""


def configure_logs() -> None:
    """Configures structlog, unless somebody has: to stderr, from info on."""
    import structlog

    if structlog.is_configured():
        return
    people = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            stamper(),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if people else _line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _line(_logger: Any, _level: str, event: Any) -> str:
    """An event as a line of JSON, in ASCII: a path may hold what terminals obey."""
    try:
        line = jsontext.dumps(event)
    except (TypeError, ValueError):
        return _encode(event)
    return line.decode() if line.isascii() else _encode(event)


def stamper(wall: Callable[[], float] = time.time) -> Callable[[Any, str, Any], Any]:
    """A processor that adds the time, ISO 8601 in UTC, as `structlog.processors.TimeStamper` does.

    That one makes a date for each event; this one for each second, in a quarter of the time.

    Args:
        wall: seconds since 1970.
    """
    last, prefix = -1, ""

    def stamped(_logger: Any, _level: str, event: Any) -> Any:
        nonlocal last, prefix
        second, rest = divmod(wall(), 1.0)
        if second != last:
            last, prefix = int(second), time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        event["timestamp"] = f"{prefix}.{int(rest * 1e6):06d}Z"
        return event

    return stamped
