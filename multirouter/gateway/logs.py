"""How a serving process writes its logs: JSON lines, or readable ones on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

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
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if people else _line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _line(_logger: Any, _level: str, event: Any) -> str:
    """An event as a line of JSON."""
    return _encode(event)
