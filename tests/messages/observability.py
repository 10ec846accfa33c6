"""Log events with their levels and fields, help texts of the metrics, and texts of the alarms."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import product
from typing import Any, Literal, get_origin, get_type_hints

from prometheus_client import CollectorRegistry

from multirouter import AllOpen, CircuitOpen, FailoverShare, FallbackShare, ProviderFailing
from multirouter.core import events
from multirouter.core.listener import EVENT_NAMES, Listener
from multirouter.errors import AllProvidersFailed, ProviderError
from multirouter.listeners import logs
from multirouter.listeners.alarms.cost_rules import CostPerHour, CostUnusual
from multirouter.listeners.metrics.families import families_in
from multirouter.model import CANCELLED, SUCCESS, AttemptRecord, CallOutcome, FailureKind, Verdict
from tests.messages.normalize import normalized
from tests.scenarios.harness import Logger

ERROR = ProviderError(
    "a: 503: overloaded", provider="a", kind=FailureKind.OVERLOADED, request_id="req-1"
)
OVERLOADED = Verdict(FailureKind.OVERLOADED, reason="status 503", status=503)
BAD_REQUEST = Verdict(FailureKind.REQUEST, reason="status 400", status=400)


def attempt(provider: str, verdict: Verdict, at: float = 0.0) -> AttemptRecord:
    """An attempt of half a second."""
    error = None if verdict is SUCCESS else ERROR
    why = "chosen by weight among 2"
    return AttemptRecord(provider, "default", "call", verdict, error, at, 0.5, why)


def call(result: Any, *attempts: AttemptRecord) -> CallOutcome[Any]:
    """A call of one second."""
    error = None
    if result in {"failure", "rejected"}:
        error = AllProvidersFailed("all attempts failed", attempts=attempts, retry_after=5.0)
    provider = "b" if result == "success" else None
    return CallOutcome(result, "answer", error, provider, "default", attempts, 0.0, 1.0)


def report_everything(log: logs.DebugLogs) -> None:
    """Reports one event of each kind."""
    router = "default"
    for old, new, reason, duration in (
        ("closed", "open", "failures", 5.0),
        ("open", "half_open", "timer", 0.0),
        ("half_open", "closed", "recovered", 0.0),
        ("closed", "open", "held", float("inf")),
    ):
        log.circuit_changed(events.CircuitChanged(router, "a", old, new, reason, 1, duration, 0.0))
    log.cooldown_started(events.CooldownStarted(router, "a", 7.0, from_retry_after=True, at=0.0))
    log.failed_over(events.FailedOver(router, "chat", "a", "b", FailureKind.SERVER))
    log.stream_continued(events.StreamContinued(router, "chat", "a", "b", "match", 17))
    for reason in ("budget", "attempts", "deadline", "not_idempotent"):
        log.retry_denied(events.RetryDenied(router, "chat", reason))  # type: ignore[arg-type] # one of them
    log.hold_changed(events.HoldChanged(router, "a", "open"))
    log.hold_changed(events.HoldChanged(router, "a", None))
    log.configured(events.Configured(router, added=("b",), removed=("c",), updated=("a",)))
    log.panic_started(events.PanicStarted(router, "chat"))
    log.route_unknown(events.RouteUnknown(router, "caht", "default"))
    for used_up in (False, True):
        log.budget_reached(events.BudgetReached(router, "provider a", 10, "day", 8.5, used_up))
    for firing in (True, False):
        text = "provider a: circuit open for 61 s"
        log.alarm_changed(
            events.AlarmChanged(router, "circuit_open", "a", firing, 61.0, text, 0.0, 9.0)
        )
    log.attempt_ended(attempt("a", OVERLOADED))
    log.call_ended(call("success", attempt("a", OVERLOADED), attempt("b", SUCCESS)))
    log.call_failed(call("failure", attempt("a", OVERLOADED)))
    log.call_failed(call("failure", attempt("a", BAD_REQUEST)))
    log.call_failed(call("rejected"))
    log.call_failed(call("fallback", attempt("a", OVERLOADED)))
    log.call_failed(call("cancelled", attempt("a", CANCELLED)))
    for old, new in (("closed", "open"), ("open", "half_open"), ("half_open", "closed")):
        for event in _samples("model_circuit_changed"):
            log.model_circuit_changed(event._replace(old=old, new=new, reason="failures"))
    for name in EVENT_NAMES:
        if name not in REPORTED:
            for event in _samples(name):
                getattr(log, name)(event)
    log.fallback_changed("chat", None)
    log.fallback_changed("chat", 75.0)
    error = _raised()
    log.on_listener_error(report_everything, error)
    log.on_classifier_error(error)
    log.on_hook_error(attempt, error)
    log.on_task_error("trial a", error)


REPORTED = frozenset(
    {
        "attempt_ended",
        "attempt_started",
        "budget_reached",
        "call_ended",
        "call_failed",
        "circuit_changed",
        "configured",
        "cooldown_started",
        "failed_over",
        "hold_changed",
        "model_circuit_changed",
        "panic_started",
        "retry_denied",
        "stream_continued",
        "alarm_changed",
    }
)
"""Events that are reported with values of their own; all others get made-up values."""


def _samples(name: str) -> Iterator[Any]:
    """Yields events for a method of Listener; one for each combination of its truth values."""
    kind = get_type_hints(getattr(Listener, name))["event"]
    hints = get_type_hints(kind)
    flags = [field for field, hint in hints.items() if hint is bool]
    fields: dict[str, Any] = {field: _sample(hint) for field, hint in hints.items()}
    fields |= {field: field for field in ("model", "requested", "route", "to") if field in hints}
    for chosen in product((True, False), repeat=len(flags)):
        yield kind(**{**fields, "router": "default", **dict(zip(flags, chosen, strict=True))})


def _sample(hint: Any) -> object:
    """A value of a type; None for a type that has no sample."""
    if get_origin(hint) is Literal:
        return hint.__args__[0]
    if get_origin(hint) is tuple:
        return ("a",)
    return {str: "a", float: 1.5, int: 2, FailureKind: FailureKind.SERVER}.get(hint)


def _raised() -> Exception:
    try:
        raise KeyError("usage")
    except KeyError as error:
        return error


def log_lines() -> list[str]:
    """Returns each log event with its level and fields."""
    logger = Logger()
    log = logs.DebugLogs("default", logger)
    report_everything(log)
    lines = [
        normalized(f"{level:7} {event}  {fields}".replace("'router': 'default', ", ""))
        for level, event, fields in logger.entries
    ]
    logger = Logger()
    logs.Logs("default", logger, error_messages=True).call_failed(
        call("failure", attempt("a", OVERLOADED))
    )
    ((level, event, fields),) = logger.entries
    return [*lines, "", "With error_messages=True:", "", f"{level:7} {event}  {fields}"]


def event_names() -> set[str]:
    """Returns the names of log events in the source of logs.py."""
    tree = ast.parse(inspect.getsource(logs))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [
        argument.value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in {"_log", "_log_error"}
        for argument in call.args
        if isinstance(argument, ast.Constant) and " " in str(argument.value)
    ]
    return {*named, *logs._CIRCUIT_EVENTS.values()}


def metric_lines() -> Iterator[str]:
    """Yields each metric family with its type, labels and help text."""
    for family in families_in(CollectorRegistry()).families.all():
        name = f"{family.name}_total" if family.kind == "counter" else family.name
        yield f"{name} ({family.kind}; {', '.join(family.label_names)})"
        yield f"    {family.documentation}"


class View:
    """A router with two providers, of which one or both are open."""

    def __init__(self, **states: str) -> None:
        self._states = states

    def names(self) -> list[str]:
        return list(self._states)

    def circuit_state(self, name: str) -> str:
        return self._states[name]

    def model_circuits(self, name: str) -> dict[str, str]:
        return {"gpt-5": "half_open"} if self._states[name] == "closed" else {}


def alarm_lines() -> Iterator[str]:
    """Yields texts of readings of each rule."""
    failed, succeeded = attempt("a", OVERLOADED, 1.0), attempt("b", SUCCESS, 1.0)
    view: Any = View(a="open", b="closed")
    rules: list[Any] = [
        ProviderFailing(),
        FailoverShare(),
        FallbackShare(),
        CircuitOpen(),
        AllOpen(),
        CostPerHour(over=5, cost=lambda _: 0.0),
        CostUnusual(cost=lambda _: 0.0),
    ]
    for rule in rules:
        for record in (failed, succeeded):
            getattr(rule, "attempt_ended", str)(record)
        for outcome in (call("success", failed, succeeded), call("fallback", failed)):
            getattr(rule, "call_ended", str)(outcome)
        yield type(rule).__name__
        for at in (2.0, 63.0):
            for reading in rule.evaluate(at, view):
                yield f"    {reading.state}: {reading.text}"
    yield "AllOpen"
    for reading in AllOpen().evaluate(2.0, View(a="open", b="open")):  # type: ignore[arg-type] # all that it reads
        yield f"    {reading.state}: {reading.text}"


def render() -> str:
    """Returns log events, metrics and alarms."""
    topics = {
        "Log events of a router": log_lines(),
        "Metrics": metric_lines(),
        "Alarms": alarm_lines(),
    }
    return "\n".join(f"## {topic}\n\n" + "\n".join(lines) + "\n" for topic, lines in topics.items())
