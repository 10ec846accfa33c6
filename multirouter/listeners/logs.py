"""Writes what changed and what failed as structlog events; healthy calls stay silent."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from math import isfinite
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from multirouter.core.events import (
    AlarmChanged,
    BudgetReached,
    CircuitChanged,
    Configured,
    CooldownStarted,
    FailedOver,
    HoldChanged,
    Listener,
    PanicStarted,
    RetryDenied,
    StreamContinued,
)
from multirouter.core.failures.exception_details import peek
from multirouter.model import AttemptRecord, CallOutcome, FailureKind

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_MESSAGE = 200
"""Characters of a provider's message that are logged, when they are logged at all."""

_LONGEST_ID = 100
_REQUEST_FAULTS = frozenset(
    {FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_FILTER, FailureKind.REQUEST}
)


class Logs(Listener):
    """One event for each change of state, failover and call that failed.

    Never logged are prompts, answers, headers and keys. A provider's message may quote the
    prompt, so of an error only its class, kind, status and request id are told.

    structlog is loaded at the first event. A configured structlog is used as it is configured at
    that moment; an unconfigured one is left so, and the events go to stderr, from info on, in
    readable lines. Contextvars bound with `structlog.contextvars` appear.

    Args:
        router_name: stands in every event as `router`.
        logger: a structlog logger, or one of the standard library; None asks structlog.
        error_messages: whether to log what errors say, cut at 200 characters. It may hold text
            of the prompt.
    """

    def __init__(
        self, router_name: str, logger: Any = None, *, error_messages: bool = False
    ) -> None:
        self._router = router_name
        self._given = logger
        self._error_messages = error_messages
        self._reported: set[Callable[..., Any]] = set()
        self._classifier_reported = False

    @override
    def circuit_changed(self, news: CircuitChanged) -> None:
        level = "warning" if news.new == "open" else "info"
        fields = {"provider": news.provider, "from": news.old, "to": news.new}
        # Endless is null to machines: JSON knows no infinity.
        open_duration = round(news.open_duration, 3) if isfinite(news.open_duration) else None
        more = {"reason": news.reason, "era": news.generation, "open_duration": open_duration}
        self._tell(level, "circuit changed", **fields, **more)

    @override
    def cooldown_started(self, news: CooldownStarted) -> None:
        seconds = round(news.seconds, 3)
        self._tell(
            "info", "provider rests", provider=news.provider, seconds=seconds, asked=news.asked
        )

    @override
    def failed_over(self, news: FailedOver) -> None:
        fields = {"route": news.route, "from": news.provider, "to": news.to}
        self._tell("info", "failed over", **fields, reason=news.reason)

    @override
    def stream_continued(self, news: StreamContinued) -> None:
        fields = {"route": news.route, "from": news.provider, "to": news.to}
        self._tell("info", "stream spliced", **fields, how=news.how, chunks=news.chunks)

    @override
    def retry_denied(self, news: RetryDenied) -> None:
        level = "info" if news.reason == "budget" else "debug"
        self._tell(level, "retry refused", route=news.route, reason=news.reason)

    @override
    def hold_changed(self, news: HoldChanged) -> None:
        if news.hold is None:
            self._tell("info", "provider released", provider=news.provider)
        else:
            self._tell("info", "provider held", provider=news.provider, hold=news.hold)

    @override
    def configured(self, news: Configured) -> None:
        changes = {"added": news.added, "removed": news.removed, "updated": news.updated}
        told = {change: list(names) for change, names in changes.items() if names}
        self._tell("info", "providers changed", **told)

    @override
    def panic_started(self, news: PanicStarted) -> None:
        self._tell("info", "circuits disregarded", route=news.route)

    @override
    def budget_reached(self, news: BudgetReached) -> None:
        event = "budget used up" if news.used_up else "budget nearly used up"
        spent = round(news.spent, 4)
        self._tell("warning", event, owner=news.owner, usd=news.usd, per=news.per, spent=spent)

    @override
    def alarm_changed(self, news: AlarmChanged) -> None:
        fields = {"alarm": news.alarm, "subject": news.subject, "about": news.text}
        if news.firing:
            self._tell("warning", "alarm fires", **fields)
        else:
            lasted = round(news.at - news.since, 3)
            self._tell("info", "alarm is over", **fields, lasted=lasted)

    def broken(self, hear: Callable[..., Any], error: Exception) -> None:
        """Reports a listener's method that raised, the first time it does; never raises."""
        if hear not in self._reported:
            self._reported.add(hear)
            who = getattr(hear, "__qualname__", type(hear).__qualname__)
            self._report("listener broken", error, listener=who)

    def classifier_broken(self, error: Exception) -> None:
        """Reports a `classify=` of the user's that raised, the first time; never raises."""
        if not self._classifier_reported:
            self._classifier_reported = True
            self._report("classifier broken", error)

    def hook_broken(self, hook: Callable[..., Any], error: Exception) -> None:
        """Reports a hook of the user's that raised, the first time it does; never raises."""
        if hook not in self._reported:
            self._reported.add(hook)
            name = getattr(hook, "__qualname__", type(hook).__qualname__)
            self._report("hook broken", error, hook=name)

    def task_broken(self, task: str, error: BaseException) -> None:
        """Reports a background task of the router's own that ended with an exception."""
        self._report("background task broken", error, task=task)

    @override
    def call_failed(self, outcome: CallOutcome[Any]) -> None:
        last = outcome.attempts[-1] if outcome.attempts else None
        fields: dict[str, Any] = {
            "route": outcome.route,
            "outcome": outcome.result,
            "elapsed": round(outcome.elapsed, 3),
            "attempts": [_trail(attempt) for attempt in outcome.attempts],
        }
        fields |= self._about(outcome.error)
        if last is not None and last.error is not outcome.error:
            fields |= {f"last_{key}": value for key, value in self._about(last.error).items()}
        retry_after = peek(outcome.error, "retry_after")
        if isinstance(retry_after, float | int):
            fields["retry_after"] = round(retry_after, 3)
        self._tell(_gravity(outcome), "call failed", **fields)

    def _about(self, error: BaseException | None) -> dict[str, str]:
        if error is None:
            return {}
        about = {"error": type(error).__qualname__}
        request_id = peek(error, "request_id")
        if isinstance(request_id, str):
            about["request_id"] = request_id[:_LONGEST_ID]
        if self._error_messages:
            about["error_message"] = _words(error)
        return about

    def _report(self, event: str, error: BaseException, **fields: str) -> None:
        told = {**fields, "where": _where(error)}
        try:
            self._tell("error", event, **told, **self._about(error))
        except Exception:  # noqa: BLE001 - the user's logging may be what is broken
            with suppress(Exception):
                _plain().error(event, router=self._router, error=type(error).__qualname__, **told)

    def _tell(self, level: str, event: str, **fields: Any) -> None:
        getattr(self._logger(), level)(event, router=self._router, **fields)

    def _logger(self) -> Any:
        """Asked anew for each event: they are rare, and the user may configure logging late."""
        if self._given is not None:
            return _adapted(self._given)
        import structlog

        return structlog.get_logger() if structlog.is_configured() else _plain()


class DebugLogs(Logs):
    """The same, and at debug level each attempt and each call that was answered."""

    @override
    def attempt_ended(self, record: AttemptRecord) -> None:
        self._tell(
            "debug",
            "attempt ended",
            provider=record.provider,
            route=record.route,
            role=record.role,
            kind=record.verdict.kind.value,
            elapsed=round(record.elapsed, 3),
            why=record.why,
        )

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        if outcome.result != "success":
            return
        elapsed = round(outcome.elapsed, 3)
        self._tell(
            "debug",
            "call answered",
            route=outcome.route,
            provider=outcome.provider,
            elapsed=elapsed,
        )


def make_logs(
    router_name: str,
    logger: Any = None,
    *,
    debug: bool | None = None,
    error_messages: bool = False,
) -> Logs:
    """Logs that hear of single attempts only where somebody would read about them.

    Args:
        router_name: see `Logs`.
        logger: see `Logs`.
        debug: whether to tell of attempts and answered calls. None tells when the logger lets
            debug through now: so configure logging before the router is made, or say it here.
        error_messages: see `Logs`.
    """
    wanted = _debug_is_read(logger) if debug is None else debug
    kind = DebugLogs if wanted else Logs
    return kind(router_name, logger, error_messages=error_messages)


def _words(error: BaseException) -> str:
    """What an error says, in one line; nothing where it cannot say it."""
    try:
        return " ".join(str(error).split())[:LONGEST_MESSAGE]
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise whatever it likes
        return ""


def _debug_is_read(logger: Any) -> bool:
    if logger is None:
        structlog = sys.modules.get("structlog")
        if structlog is None or not structlog.is_configured():
            return False  # what nobody has loaded, nobody has configured
        logger = structlog.get_logger()
    bound = logger.bind() if hasattr(logger, "bind") else logger
    # Asked of the class, since a structlog logger makes a log method of any name it is asked for.
    for question in ("is_enabled_for", "isEnabledFor"):
        if hasattr(type(bound), question):
            return bool(getattr(bound, question)(logging.DEBUG))
    return False


def _adapted(logger: Any) -> Any:
    """A logger that takes fields: structlog's as it is, the standard library's in readable text."""
    if not isinstance(logger, logging.Logger | logging.LoggerAdapter):
        return logger
    import structlog

    return structlog.wrap_logger(
        logger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, sort_keys=False),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _plain() -> Any:
    """A logger for programs that never configured one; it leaves structlog unconfigured."""
    import structlog

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


def _gravity(outcome: CallOutcome[Any]) -> str:
    """An error when a caller got nothing, unless the request itself was at fault."""
    if outcome.result == "cancelled":
        return "debug"  # the caller left: nobody was failed
    if outcome.result == "fallback":
        return "warning"
    last = outcome.attempts[-1].verdict.kind if outcome.attempts else None
    return "warning" if last in _REQUEST_FAULTS else "error"


def _trail(attempt: AttemptRecord) -> str:
    status = "" if attempt.verdict.status is None else f" {attempt.verdict.status}"
    return f"{attempt.provider}: {attempt.verdict.kind.value}{status}"


def _where(error: BaseException) -> str:
    """The innermost line that raised: enough to find it, with none of the values there."""
    from pathlib import PurePath
    from traceback import extract_tb

    frames = extract_tb(error.__traceback__)
    if not frames:
        return "unknown"
    last = frames[-1]
    return f"{PurePath(last.filename).name}:{last.lineno} in {last.name}"
