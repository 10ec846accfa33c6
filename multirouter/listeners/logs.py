"""Structured logs of state changes, failovers and failed calls, written with structlog."""

from __future__ import annotations

from contextlib import suppress
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from multirouter.core.error_text import message_of
from multirouter.core.events import (
    AlarmChanged,
    BudgetReached,
    CircuitChanged,
    Configured,
    CooldownStarted,
    FailedOver,
    HoldChanged,
    LoopStalled,
    ModelCircuitChanged,
    PanicStarted,
    PriceMissing,
    RetryDenied,
    RouteDiverted,
    StreamContinued,
)
from multirouter.core.failures.exception_details import location_of, peek
from multirouter.listeners.failed_calls import attempt_summary, level_of, place_of_bug
from multirouter.listeners.fallback_log import FallbackWatch
from multirouter.listeners.log_repetition import Repetitions
from multirouter.listeners.sharing_log import SharingLog
from multirouter.model import AttemptRecord, CallOutcome

if TYPE_CHECKING:
    from collections.abc import Callable

SHORT_STALL = 0.5
"""Seconds below which a stall of the event loop is not logged each time: a loop that is always a
little late would fill the log."""

SHORT_STALL_LOG_INTERVAL = 60.0
"""Seconds after a logged stall in which short ones are not logged."""

_MAX_REQUEST_ID_LENGTH = 100
_CIRCUIT_EVENTS = {
    "open": "circuit opened",
    "half_open": "circuit half-opened",
    "closed": "circuit closed",
}


class Logs(SharingLog):
    """Log events of one router: one for each state change, failover and failed call.

    Prompts, answers, headers and keys are never logged. A provider's error message may quote the
    prompt, so only the class, kind, HTTP status and request id of an error are logged.

    If structlog is configured, its configuration at the moment of the event is used. If not, it
    stays unconfigured, and events of level info and above go to stderr as readable lines. Variables
    bound with `structlog.contextvars` are included. structlog is imported with the first object.

    Args:
        router_name: value of the field `router` in every event.
        logger: a structlog or standard library logger; None uses `structlog.get_logger()`.
        error_messages: whether to log error messages, cut to 200 characters. They may contain text
            of the prompt.

    Attributes:
        add_listener: returns what adds a listener to the router, or None; set by the router.
    """

    def __init__(
        self, router_name: str, logger: Any = None, *, error_messages: bool = False
    ) -> None:
        # Imported here: `import multirouter` is quick, and the first incident does not import.
        from multirouter.listeners import structured_logger

        self._loggers = structured_logger
        self._router = router_name
        self._custom_logger = logger
        self._error_messages = error_messages
        self._reported: set[Callable[..., Any]] = set()
        self._classifier_reported = False
        self._stall_logged_at = -inf
        self._repetitions = Repetitions()
        self._fallbacks: FallbackWatch | None = None
        self.add_listener: Callable[[], Callable[[Any], None] | None] = _of_no_router

    @override
    def circuit_changed(self, event: CircuitChanged) -> None:
        # JSON has no infinity: an open circuit without a half-open timer has null.
        open_duration = round(event.open_duration, 3) if isfinite(event.open_duration) else None
        fields = {"provider": event.provider, "from": event.old, "to": event.new}
        self._log(
            "warning" if event.new == "open" else "info",
            _CIRCUIT_EVENTS[event.new],
            **fields,
            reason=event.reason,
            generation=event.generation,
            open_duration=open_duration,
        )

    @override
    def model_circuit_changed(self, event: ModelCircuitChanged) -> None:
        fields = {"provider": event.provider, "model": event.model}
        fields |= {"from": event.old, "to": event.new}
        self._log(
            "warning" if event.new == "open" else "info",
            f"model {_CIRCUIT_EVENTS[event.new]}",
            **fields,
            reason=event.reason,
            open_duration=round(event.open_duration, 3),
        )

    @override
    def cooldown_started(self, event: CooldownStarted) -> None:
        seconds = round(event.seconds, 3)
        self._log(
            "info",
            "cooldown started",
            provider=event.provider,
            seconds=seconds,
            from_retry_after=event.from_retry_after,
        )

    @override
    def failed_over(self, event: FailedOver) -> None:
        fields = {"route": event.route, "from": event.provider, "to": event.to}
        if event.cause:
            fields["cause"] = event.cause
        self._log("info", "failover", **fields, reason=event.reason)

    @override
    def stream_continued(self, event: StreamContinued) -> None:
        fields = {"route": event.route, "from": event.provider, "to": event.to}
        self._log("info", "stream continued", **fields, mode=event.mode, chunks=event.chunks)

    @override
    def retry_denied(self, event: RetryDenied) -> None:
        level = "info" if event.reason == "budget" else "debug"
        self._log(level, "retry denied", route=event.route, reason=event.reason)

    @override
    def hold_changed(self, event: HoldChanged) -> None:
        if event.hold is None:
            self._log("info", "hold released", provider=event.provider)
        else:
            self._log("info", "hold set", provider=event.provider, hold=event.hold)

    @override
    def configured(self, event: Configured) -> None:
        changes = {"added": event.added, "removed": event.removed, "updated": event.updated}
        fields = {change: list(names) for change, names in changes.items() if names}
        self._log("info", "providers changed", **fields)

    @override
    def panic_started(self, event: PanicStarted) -> None:
        self._log("info", "panic mode started", route=event.route)

    @override
    def route_diverted(self, event: RouteDiverted) -> None:
        first_choice = list(event.first_choice)
        fields = {"route": event.route, "first_choice": first_choice, "provider": event.provider}
        if event.diverted:
            self._log("info", "diversion began", **fields, reason=event.reason)
        else:
            seconds = round(event.at - event.since, 3)
            self._log("info", "diversion ended", **fields, seconds=seconds)

    @override
    def price_missing(self, event: PriceMissing) -> None:
        self._log("warning", "price missing", provider=event.provider, model=event.model)

    @override
    def budget_reached(self, event: BudgetReached) -> None:
        name = "budget exhausted" if event.used_up else "budget warning"
        spent = round(event.spent, 4)
        self._log("warning", name, owner=event.owner, usd=event.usd, per=event.per, spent=spent)

    @override
    def alarm_changed(self, event: AlarmChanged) -> None:
        fields = {"alarm": event.alarm, "subject": event.subject, "text": event.text}
        if event.firing:
            self._log("warning", "alarm firing", **fields)
        else:
            duration = round(event.at - event.since, 3)
            self._log("info", "alarm cleared", **fields, duration=duration)

    @override
    def loop_stalled(self, event: LoopStalled) -> None:
        repeated = 0.0 <= event.at - self._stall_logged_at < SHORT_STALL_LOG_INTERVAL
        if event.seconds >= SHORT_STALL or not repeated:
            self._stall_logged_at = event.at
            self._log("warning", "event loop stalled", seconds=round(event.seconds, 3))

    def on_listener_error(self, method: Callable[..., Any], error: Exception) -> None:
        """Logs a listener method that raised, the first time it does; never raises."""
        if method not in self._reported:
            self._reported.add(method)
            self._log_error("listener failed", error, listener=_qualified_name(method))

    def on_classifier_error(self, error: Exception) -> None:
        """Logs a user's `classify=` that raised, the first time it does; never raises."""
        if not self._classifier_reported:
            self._classifier_reported = True
            self._log_error("classifier failed", error)

    def on_hook_error(self, hook: Callable[..., Any], error: Exception) -> None:
        """Logs a user's hook that raised, the first time it does; never raises."""
        if hook not in self._reported:
            self._reported.add(hook)
            self._log_error("hook failed", error, hook=_qualified_name(hook))

    def on_task_error(self, task: str, error: BaseException) -> None:
        """Logs a background task of the router that ended with an exception; never raises."""
        self._log_error("background task failed", error, task=task)

    @override
    def call_failed(self, outcome: CallOutcome[Any]) -> None:
        last = outcome.attempts[-1] if outcome.attempts else None
        fields: dict[str, Any] = {
            "route": outcome.route,
            "outcome": outcome.result,
            "elapsed": round(outcome.elapsed, 3),
            "attempts": [attempt_summary(attempt) for attempt in outcome.attempts],
        }
        fields |= self._error_fields(outcome.error)
        if last is not None and last.error is not outcome.error:
            fields |= {f"last_{key}": v for key, v in self._error_fields(last.error).items()}
        if last is not None and (where := place_of_bug(last)):
            fields["where"] = where
        problem = peek(outcome.error, "fallback_error")
        if isinstance(problem, Exception):
            fields |= {f"fallback_{key}": v for key, v in self._error_fields(problem).items()}
            fields["fallback_where"] = location_of(problem) or "unknown"
        if outcome.result == "fallback" and self._fallbacks is None:
            self._fallbacks = FallbackWatch(self.fallback_changed)
            if (add := self.add_listener()) is not None:
                add(self._fallbacks)
        retry_after = peek(outcome.error, "retry_after")
        if isinstance(retry_after, float | int):
            fields["retry_after"] = round(retry_after, 3)
        self._log(level_of(outcome), "call failed", **fields)

    def _error_fields(self, error: BaseException | None) -> dict[str, str]:
        if error is None:
            return {}
        fields = {"error": type(error).__qualname__}
        request_id = peek(error, "request_id")
        if isinstance(request_id, str):
            fields["request_id"] = request_id[:_MAX_REQUEST_ID_LENGTH]
        if self._error_messages:
            fields["error_message"] = message_of(error)
        return fields

    def _log_error(self, name: str, error: BaseException, **fields: str) -> None:
        fields["where"] = location_of(error) or "unknown"
        try:
            self._log("error", name, **fields, **self._error_fields(error))
        except Exception:  # noqa: BLE001 - the user's logging itself may raise
            with suppress(Exception):
                error_name = type(error).__qualname__
                fallback = self._loggers.stderr_logger()
                fallback.error(name, router=self._router, error=error_name, **fields)

    def _log(self, level: str, event: str, /, **fields: Any) -> None:
        left_out = self._repetitions.admit(event, fields)
        if left_out is None:
            return
        if left_out:
            fields["repeated"] = left_out
        getattr(self._logger(), level)(event, router=self._router, **fields)

    def fallback_changed(self, route: str, seconds: float | None) -> None:
        """Logs that a route's calls begin or cease to get a fallback; see `FallbackWatch`."""
        if seconds is None:
            self._log("info", "fallback began", route=route)
        else:
            self._log("info", "fallback ended", route=route, seconds=round(seconds, 3))

    def _logger(self) -> Any:
        """The logger, looked up for each event: the user may configure logging late."""
        if self._custom_logger is not None:
            return self._loggers.with_fields(self._custom_logger)
        return self._loggers.default_logger()


class DebugLogs(Logs):
    """`Logs` that also log each attempt and each successful call, at level debug."""

    @override
    def attempt_ended(self, record: AttemptRecord) -> None:
        self._log(
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
        self._log(
            "debug",
            "call succeeded",
            route=outcome.route,
            provider=outcome.provider,
            elapsed=round(outcome.elapsed, 3),
        )


def make_logs(
    router_name: str,
    logger: Any = None,
    *,
    debug: bool | None = None,
    error_messages: bool = False,
) -> Logs:
    """Creates `DebugLogs` if debug events would be written, else `Logs`.

    Args:
        router_name: see `Logs`.
        logger: see `Logs`.
        debug: whether to log attempts and successful calls. None enables it if the logger is
            enabled for debug now; so configure logging before the router is created.
        error_messages: see `Logs`.

    Raises:
        ConfigurationError: `logger` is no logger, or its methods are async.
    """
    from multirouter.listeners.structured_logger import check_logger, is_debug_enabled

    check_logger(logger)
    enabled = is_debug_enabled(logger) if debug is None else debug
    logs_class = DebugLogs if enabled else Logs
    return logs_class(router_name, logger, error_messages=error_messages)


def _of_no_router() -> None:
    """Logs that belong to no router are given no successful calls."""


def _qualified_name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)
