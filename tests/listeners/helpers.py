"""A fake router view, and functions that create and dispatch events."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.listener import EVENT_NAMES, Listener
from multirouter.core.settings.operation import OWN_FUNCTIONS
from multirouter.model import (
    CANCELLED,
    SUCCESS,
    AttemptRecord,
    CallOutcome,
    CallResult,
    FailureKind,
    Role,
    Verdict,
)

WITH_OPERATION = ("calls_", "call_", "attempts_total", "attempt_duration_seconds")
"""Beginnings of the names of metrics with the label `operation`."""

PROMPT = "my secret prompt sk-12345"


class FakeView:
    """A router view whose state the test sets."""

    def __init__(self, *names: str) -> None:
        self.in_flight_counts = dict.fromkeys(names, 0)
        self.states = dict.fromkeys(names, "closed")
        self.model_states: dict[str, dict[str, str]] = {name: {} for name in names}
        self.unavailable: set[str] = set()
        self.degraded_names: set[str] = set()

    def names(self) -> list[str]:
        return list(self.in_flight_counts)

    def in_flight(self, name: str) -> int:
        return self.in_flight_counts[name]

    def available(self, name: str) -> bool:
        return name not in self.unavailable

    def degraded(self, name: str) -> bool:
        return name in self.degraded_names

    def circuit_state(self, name: str) -> str:
        return self.states[name]

    def model_circuits(self, name: str) -> dict[str, str]:
        return self.model_states[name]


def attempt(
    provider: str = "openai",
    kind: FailureKind = FailureKind.SUCCESS,
    *,
    seconds: float = 0.2,
    role: Role = "call",
    late: bool = False,
    error: BaseException | None = None,
    started: float = 10.0,
    status: int | None = None,
) -> AttemptRecord:
    known = {FailureKind.SUCCESS: SUCCESS, FailureKind.CANCELLED: CANCELLED}
    verdict = known.get(kind) or Verdict(kind, status=status, reason=PROMPT)
    why = "chosen by weight"
    return AttemptRecord(
        provider, "default", role, verdict, error, started, seconds, why, late=late
    )


def call(
    result: CallResult = "success",
    *attempts: AttemptRecord,
    error: BaseException | None = None,
    seconds: float = 0.3,
    route: str = "default",
) -> CallOutcome[str]:
    provider = attempts[-1].provider if result == "success" and attempts else None
    outcome: CallOutcome[str] = CallOutcome(
        result, PROMPT, error, provider, route, attempts, 10.0, seconds, frozenset({"openai"})
    )
    names = {record.provider for record in attempts}
    outcome.served_by_first_choice = result == "success" and names <= {"openai"}
    return outcome


def dispatch(listener: Listener, name: str, *event: Any) -> None:
    """Delivers an event through an EventDispatcher; an exception of the listener fails the test."""

    def on_error(_method: object, error: Exception) -> None:
        raise error

    dispatcher = EventDispatcher([listener], on_error)
    dispatcher.post(name, event if name == "attempt_started" else event[0])
    dispatcher.deliver()


def dispatch_call(listener: Listener, outcome: CallOutcome[str]) -> None:
    """Delivers the events of a call and of each of its attempts, as a router does."""
    for record in outcome.attempts:
        dispatch(listener, "attempt_started", record.provider, record.role)
        dispatch(listener, "attempt_ended", record)
    if outcome.result != "success":
        dispatch(listener, "call_failed", outcome)
    dispatch(listener, "call_ended", outcome)


def handled_by(listener: Listener) -> set[str]:
    """Names of the events that are delivered to this listener."""
    dispatcher = EventDispatcher([listener], lambda *_: None)
    return {name for name in EVENT_NAMES if dispatcher._handlers[name]}


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    """The value of one sample of the router `default`, of a chat; None if there is none."""
    if name.startswith(WITH_OPERATION):
        labels = {"operation": OWN_FUNCTIONS, **labels}
    return registry.get_sample_value(f"multirouter_{name}", {"router": "default", **labels})


def total(registry: CollectorRegistry, sample: str, **labels: str) -> float:
    """Sum of all samples with this name and these labels."""
    return sum(
        found.value
        for family in registry.collect()
        for found in family.samples
        if found.name == f"multirouter_{sample}" and labels.items() <= found.labels.items()
    )
