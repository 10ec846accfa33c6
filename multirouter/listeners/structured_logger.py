"""The structlog loggers behind `Logs`.

Imports structlog, which takes a tenth of a second: so it is loaded with the first router, neither
with the package nor at the first event, when calls are in flight.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from multirouter.core import function_checks as hooks
from multirouter.errors import ConfigurationError

LEVELS = ("info", "warning", "error")
"""Methods of a logger that the log events use, and `debug` where it is enabled."""


def default_logger() -> Any:
    """The logger of programs that pass none, looked up for each event.

    If structlog is configured, its configuration at this moment is used.
    """
    return structlog.get_logger() if structlog.is_configured() else stderr_logger()


def stderr_logger() -> Any:
    """A logger to stderr for programs without a structlog configuration; it sets none."""
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )


def with_fields(logger: Any) -> Any:
    """A logger that accepts fields; standard library loggers get them as text in the message."""
    if not isinstance(logger, logging.Logger | logging.LoggerAdapter):
        return logger
    return structlog.wrap_logger(
        logger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            # The width of an event by position: its name is another one from 25.5 on.
            structlog.dev.ConsoleRenderer(0, colors=False, sort_keys=False),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def check_logger(logger: Any) -> None:
    """Checks that a logger can write the log events; None is the default logger.

    Raises:
        ConfigurationError: it has no method of that name, or an async one, which would write
            nothing.
    """
    if logger is None:
        return
    for level in LEVELS:
        method = getattr(logger, level, None)
        if not callable(method):
            text = f"must be a structlog or standard logger, got {logger!r} without {level}()"
            raise ConfigurationError("logger", text)
        if hooks.is_async(method):
            text = f"must have plain methods, but {type(logger).__name__}.{level}() is async"
            raise ConfigurationError("logger", text)


def is_debug_enabled(logger: Any) -> bool:
    """Whether debug events would be written; None is the default logger."""
    if logger is None:
        if not structlog.is_configured():
            return False
        logger = structlog.get_logger()
    bound = logger.bind() if hasattr(logger, "bind") else logger
    # Look at the class: a structlog logger has a log method under any attribute name.
    for method in ("is_enabled_for", "isEnabledFor"):
        if hasattr(type(bound), method):
            return bool(getattr(bound, method)(logging.DEBUG))
    return False
