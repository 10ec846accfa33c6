"""A router as the gauges see it, and news made by hand."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import KINDS, Listener
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

PROMPT = "my secret prompt sk-12345"


class Sight:
    """What a router shows of its providers, to be changed at will."""

    def __init__(self, *names: str) -> None:
        self.running = dict.fromkeys(names, 0)
        self.states = dict.fromkeys(names, "closed")
        self.out: set[str] = set()
        self.ill: set[str] = set()

    def names(self) -> list[str]:
        return list(self.running)

    def in_flight(self, name: str) -> int:
        return self.running[name]

    def available(self, name: str) -> bool:
        return name not in self.out

    def degraded(self, name: str) -> bool:
        return name in self.ill

    def circuit_state(self, name: str) -> str:
        return self.states[name]


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
    why = "drawn by weight"
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
    return CallOutcome(result, PROMPT, error, provider, route, attempts, 10.0, seconds)


def tell(listener: Listener, kind: str, *news: Any) -> None:
    """Tells news over a real wire; an exception of the listener fails the test."""

    def broken(_hear: object, error: Exception) -> None:
        raise error

    dispatcher = EventDispatcher([listener], broken)
    dispatcher.post(kind, news if kind == "attempt_started" else news[0])
    dispatcher.deliver()


def tell_call(listener: Listener, outcome: CallOutcome[str]) -> None:
    """Tells of a call and of each of its attempts, as a router does."""
    for record in outcome.attempts:
        tell(listener, "attempt_started", record.provider, record.role)
        tell(listener, "attempt_ended", record)
    if outcome.result != "success":
        tell(listener, "call_failed", outcome)
    tell(listener, "call_ended", outcome)


def heard_by(listener: Listener) -> set[str]:
    """The kinds of news that cost this listener a call."""
    dispatcher = EventDispatcher([listener], lambda *_: None)
    return {kind for kind in KINDS if dispatcher._ears[kind]}


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"multirouter_{name}", {"router": "default", **labels})


def total(registry: CollectorRegistry, sample: str, **labels: str) -> float:
    """The sum of all samples of this name that carry these labels."""
    return sum(
        found.value
        for family in registry.collect()
        for found in family.samples
        if found.name == f"multirouter_{sample}" and labels.items() <= found.labels.items()
    )
