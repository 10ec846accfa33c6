"""Counts what happens during the demo: it is an ordinary Listener of the router."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

from typing_extensions import override

from multirouter.core.events import CircuitChanged, Listener
from multirouter.model import AttemptRecord, CallOutcome


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry of the demo's history.

    Attributes:
        at: seconds since the first call.
        provider: whom it befell.
        event: `down` and `up` are the provider's own, `circuit` is the router's opinion of it.
        old: the circuit's state before, or "".
        new: the circuit's state after, or "".
        reason: why the circuit changed, or "".
        lasts: seconds the outage or the open circuit is to last, or 0.
    """

    at: float
    provider: str
    event: Literal["down", "up", "circuit"]
    old: str = ""
    new: str = ""
    reason: str = ""
    lasts: float = 0.0

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.provider} {self._words()}"

    def _words(self) -> str:
        if self.event == "down":
            return f"goes down for {self.lasts:g} s: 503s, dropped connections, silence"
        if self.event == "up":
            return "is well again"
        change = f"circuit {self.old} -> {self.new} ({self.reason})"
        return f"{change}, tried again in {self.lasts:.1f} s" if self.lasts else change

    def as_data(self) -> dict[str, Any]:
        """The entry as plain data."""
        return asdict(self)


class Tally(Listener):
    """What came of attempts and calls so far.

    Attributes:
        began: loop time of the first call, seconds.
        durations: seconds each ended call took, in the order of their ends.
        errors: what callers were told instead of an answer, by the error's class and text.
        moved_on: seconds each call took that was answered by another provider than it began with.
        answered: attempts that brought a caller's answer, by provider; probes bring nobody's.
        caught: attempts that failed, by provider and kind; probes among them.
        history: circuits and outages, in order.
    """

    def __init__(self, began: float = 0.0) -> None:
        self.began = began
        self.durations: list[float] = []
        self.errors: Counter[str] = Counter()
        self.moved_on: list[float] = []
        self.answered: Counter[str] = Counter()
        self.caught: Counter[tuple[str, str]] = Counter()
        self.history: list[Moment] = []

    @property
    def calls(self) -> int:
        """Calls that have ended."""
        return len(self.durations)

    def failed(self, provider: str) -> int:
        """Attempts at a provider that failed."""
        return sum(n for (name, _), n in self.caught.items() if name == provider)

    @override
    def attempt_ended(self, record: AttemptRecord) -> None:
        if record.outcome == "success":
            self.answered[record.provider] += record.role != "trial"
        elif record.outcome == "failure":
            self.caught[record.provider, str(record.verdict.kind)] += 1

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        if outcome.result == "cancelled":
            return  # the demo was stopped; nobody was failed
        self.durations.append(outcome.elapsed)
        if outcome.ok and outcome.failovers:
            self.moved_on.append(outcome.elapsed)

    @override
    def circuit_changed(self, news: CircuitChanged) -> None:
        at = news.at - self.began
        change = (news.old, news.new, news.reason, news.open_duration)
        self.history.append(Moment(at, news.provider, "circuit", *change))

    def refused(self, error: Exception) -> None:
        """Notes what a caller got instead of an answer."""
        self.errors[f"{type(error).__name__}: {error}"] += 1
