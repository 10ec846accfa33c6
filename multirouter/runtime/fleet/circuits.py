"""Circuits and cooldowns of a fleet: publishes those of one router, and follows those of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.circuit.fleet_failures import LASTS, FleetFailures
from multirouter.core.circuit.following import FOLLOWED, FollowingGate, is_answered
from multirouter.core.circuit.gate import Gate
from multirouter.core.events import CircuitChanged, CooldownStarted, ModelCircuitChanged
from multirouter.core.sharing.beliefs import Beliefs, Outage
from multirouter.core.sharing.facts import Fact, model_of_subject, model_subject
from multirouter.core.sharing.quorum import Quorum
from multirouter.model import Verdict

SUSPICION = 0.001
"""Seconds for which a failure that is being counted opens a circuit."""

_OWN_REASONS = frozenset(
    {"failures", "failure_rate", "slow", "exhausted", "credentials", "trial_failed"}
)
"""Reasons of an opening that the own process saw."""

_CLOSED = frozenset({"recovered", "other_model"})
"""Reasons of a closing that the own process saw."""

Publish = Callable[..., None]
"""Publishes a fact: its kind, its subject, its value, and the seconds for which it stays true."""


class FleetCircuits:
    """The circuits and cooldowns of one router, as a part of its fleet's.

    Args:
        gates: the gates of the router's providers.
        host: the machine of this process.
        quorum: when the word of other processes is believed.
        beliefs: returns the facts that are known.
        publish: see `Publish`.
        members: returns the numbers of connected processes and of their machines, or None.
        on_change: called with the subject of a circuit that another process has changed.
    """

    def __init__(
        self,
        gates: Mapping[str, Gate],
        host: str,
        quorum: Quorum,
        beliefs: Callable[[], Beliefs],
        publish: Publish,
        members: Callable[[], tuple[int, int] | None],
        on_change: Callable[[str], None],
    ) -> None:
        self._gates = gates
        self._host = host
        self._quorum = quorum
        self._beliefs = beliefs
        self._publish = publish
        self._members = members
        self._on_change = on_change
        self._failures: dict[str, FleetFailures] = {}

    def watch(self, providers: Iterable[str]) -> None:
        """Notices failures at these providers before they are counted."""
        for name in providers:
            gate = self._gates.get(name)
            if gate is not None:
                gate.on_failure = self._failing

    # -- what the own process sees ------------------------------------------------------------

    def _failing(self, gate: FollowingGate, now: float) -> None:
        """An attempt failed: opens the circuit if the fleet has failed often enough, or says so."""
        members = self._members()
        if members is None or not gate.follows or not gate.circuit.is_closed:
            return
        others = self._failures.setdefault(gate.name, FleetFailures())
        if others.trips(gate, now, self._quorum.share, members[0]):
            gate.suspect(now + SUSPICION)
        else:
            self._publish("failing", gate.name, gate.circuit.consecutive_failures + 1, LASTS)

    def changed(self, event: CircuitChanged) -> None:
        """Publishes a transition that this process has seen itself."""
        gate = self._gates.get(event.provider)
        if gate is None:
            return
        if event.new == "open" and event.reason in _OWN_REASONS:
            openings, failures = gate.circuit.consecutive_openings, gate.circuit.window.failures
            answered = _is_evidence(gate.last_verdict, event.reason)
            self._publish_open(event.provider, event, openings, failures, answered=answered)
        elif event.new == "closed" and event.reason in _CLOSED:
            self._publish("closed", event.provider, None)

    def model_changed(self, event: ModelCircuitChanged) -> None:
        """As `changed`, of the circuit of one model."""
        gate = self._gates.get(event.provider)
        if gate is None or gate.models is None:
            return
        subject = model_subject(event.provider, event.model)
        if event.new == "open" and event.reason in _OWN_REASONS:
            openings, failures = gate.models.counts(event.model)
            answered = _is_evidence(gate.models.last_verdict, event.reason)
            self._publish_open(subject, event, openings, failures, answered=answered)
        elif event.new == "closed" and event.reason in _CLOSED:
            self._publish("closed", subject, None)

    def _publish_open(
        self,
        subject: str,
        event: CircuitChanged | ModelCircuitChanged,
        openings: int,
        failures: int,
        *,
        answered: bool,
    ) -> None:
        value: list[Any] = [event.reason, max(1, openings), failures, answered, self._host]
        self._publish("open", subject, value, event.open_duration)

    def cooled_down(self, event: CooldownStarted) -> None:
        """Publishes a cooldown that began in this process."""
        gate = self._gates.get(event.provider)
        if gate is not None and not event.from_peers:
            self._publish("cooldown", event.provider, gate.rate_limited, event.seconds)

    # -- what other processes see -------------------------------------------------------------

    def failing_elsewhere(self, fact: Fact, now: float) -> None:
        """Counts the failures of another process with those of this one."""
        gate = self._gates.get(fact.subject)
        if gate is not None:
            others = self._failures.setdefault(fact.subject, FleetFailures())
            others.report(gate, fact.stamp.origin, fact.value, now + fact.left)

    def closed_elsewhere(self, fact: Fact, now: float) -> None:
        """Closes a circuit whose trial another process has passed."""
        gate = self._gates.get(fact.subject)
        if gate is not None:
            gate.follow_closed(now)
            self._on_change(fact.subject)
            return
        gate, model = self._model_gate(fact.subject)
        if gate is not None and gate.models is not None and gate.follows:
            gate.models.follow_closed(model, now, FOLLOWED)

    def follow(self, subject: str, now: float) -> None:
        """Follows what the others say about a provider, or about one of its models."""
        gate = self._gates.get(subject)
        if gate is None:
            gate, model = self._model_gate(subject)
            if gate is not None:
                self._follow_model(gate, model, subject, now)
            return
        left, rate_limited = self._beliefs().cooldown_left(subject, now)
        if left > 0.0:
            gate.follow_cooldown(now, left, rate_limited=rate_limited)
        outage = self._outage(subject, now, closed=gate.circuit.is_closed)
        if outage is None:
            return
        if outage.believed:
            many = "processes" if outage.processes > 1 else "process"
            why = f"{outage.reason} in {outage.processes} other {many}"
            gate.follow_open(now, outage.left, outage.openings, why)
            self._on_change(subject)
        else:
            gate.suspect(now + outage.left)

    def _follow_model(self, gate: Gate, model: str, subject: str, now: float) -> None:
        """Opens the circuit of a model, in a process whose calls name models."""
        if not gate.follows or not gate.sees_models:
            return
        gate.see_model(model, now)
        models = gate.models
        if models is None:
            return
        outage = self._outage(subject, now, closed=model not in models.states(now))
        if outage is not None and outage.believed:
            models.follow_open(model, now, outage.left, outage.openings, FOLLOWED)
            self._on_change(subject)

    # -- trials -------------------------------------------------------------------------------

    def circuit_of(self, subject: str) -> CircuitBreaker | None:
        """A circuit whose trial one process of the fleet makes; None when a hold decides.

        Args:
            subject: a provider's name, or a `model_subject`.
        """
        gate = self._gates.get(subject)
        if gate is not None:
            return gate.circuit if gate.hold is None else None
        gate, model = self._model_gate(subject)
        return None if gate is None or gate.models is None else gate.models.circuit(model)

    def postpone_trial(self, subject: str, until: float) -> None:
        """Keeps an open circuit open until a loop time (seconds): another process makes a trial."""
        gate = self._gates.get(subject)
        if gate is not None:
            gate.postpone_trial(until)
            self._on_change(subject)
            return
        gate, model = self._model_gate(subject)
        if gate is not None and gate.models is not None:
            gate.models.postpone_trial(model, until)

    def _outage(self, subject: str, now: float, *, closed: bool) -> Outage | None:
        members = self._members()
        if members is None:
            return None
        return self._beliefs().outage(subject, now, self._quorum, *members, closed=closed)

    def _model_gate(self, subject: str) -> tuple[Gate | None, str]:
        provider, model = model_of_subject(subject)
        return self._gates.get(provider), model


def _is_evidence(verdict: Verdict | None, reason: str) -> bool:
    if reason in {"slow", "credentials", "exhausted", FOLLOWED} or verdict is None:
        return False
    return is_answered(verdict)
