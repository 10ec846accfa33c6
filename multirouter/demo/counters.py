"""Counters of the demo, filled by a `Listener` of the router."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

from typing_extensions import override

from multirouter.core.events import CircuitChanged
from multirouter.core.listener import Listener
from multirouter.model import AttemptRecord, CallOutcome


@dataclass(frozen=True, slots=True)
class DemoEvent:
    """One event of the demo.

    Attributes:
        at: seconds since the first call.
        provider: the provider's name.
        event: `down` and `up`: start and end of the outage; `circuit`: a change of its circuit.
        old: the circuit's state before, or "".
        new: the circuit's state after, or "".
        reason: reason of the circuit's change, or "".
        duration: planned duration of the outage or of the open circuit, seconds, or 0.
    """

    at: float
    provider: str
    event: Literal["down", "up", "circuit"]
    old: str = ""
    new: str = ""
    reason: str = ""
    duration: float = 0.0

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.provider} {self._words()}"

    def _words(self) -> str:
        if self.event == "down":
            return f"goes down for {self.duration:g} s: 503s, dropped connections, hanging requests"
        if self.event == "up":
            return "is up again"
        change = f"circuit {self.old} -> {self.new} ({self.reason})"
        return f"{change}, next trial in {self.duration:.1f} s" if self.duration else change

    def as_data(self) -> dict[str, Any]:
        """The event as plain data."""
        return asdict(self)


class Counters(Listener):
    """Counts attempts and calls.

    Attributes:
        started_at: loop time of the first call, seconds.
        durations: duration of each ended call, seconds, in the order of their ends.
        errors: errors that callers saw, by class and text.
        failover_durations: duration of each answered call with a failover, seconds.
        answered: attempts whose answer went to a caller, by provider; trials are not counted.
        failures: failed attempts by provider and kind, trials included.
        events: circuit changes and outages, in order.
    """

    def __init__(self, started_at: float = 0.0) -> None:
        self.started_at = started_at
        self.durations: list[float] = []
        self.errors: Counter[str] = Counter()
        self.failover_durations: list[float] = []
        self.answered: Counter[str] = Counter()
        self.failures: Counter[tuple[str, str]] = Counter()
        self.events: list[DemoEvent] = []

    @property
    def calls(self) -> int:
        """Number of ended calls."""
        return len(self.durations)

    def failed_attempts(self, provider: str) -> int:
        """Number of failed attempts of a provider."""
        return sum(n for (name, _), n in self.failures.items() if name == provider)

    @override
    def attempt_ended(self, record: AttemptRecord) -> None:
        if record.outcome == "success":
            self.answered[record.provider] += record.role != "trial"
        elif record.outcome == "failure":
            self.failures[record.provider, str(record.verdict.kind)] += 1

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        if outcome.result == "cancelled":
            return  # the demo was stopped; the caller saw no error
        self.durations.append(outcome.elapsed)
        if outcome.ok and outcome.failovers:
            self.failover_durations.append(outcome.elapsed)

    @override
    def circuit_changed(self, event: CircuitChanged) -> None:
        at = event.at - self.started_at
        change = (event.old, event.new, event.reason, event.open_duration)
        self.events.append(DemoEvent(at, event.provider, "circuit", *change))

    def record_error(self, error: Exception) -> None:
        """Counts an error that a caller saw."""
        self.errors[f"{type(error).__name__}: {error}"] += 1
