"""What circuits and cooldowns of other processes of a fleet change at a gate of this one.

A circuit changes by the breaker's own transitions only. A hold decides alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from multirouter.core.circuit.durations import follower_duration
from multirouter.core.circuit.gate_state import GateState
from multirouter.core.circuit.model_circuits import ModelCircuits
from multirouter.core.circuit.states import CircuitState, Signal
from multirouter.core.events import CooldownStarted, ModelCircuitChanged
from multirouter.model import FailureKind, Verdict

if TYPE_CHECKING:
    from multirouter.core.change_counter import ChangeCounter
    from multirouter.core.event_dispatcher import EventDispatcher

FOLLOWED = "peers"
"""Reason of a transition that follows the circuits of other processes."""

ABOUT_THE_PROCESS: frozenset[FailureKind] = frozenset(
    {FailureKind.CREDENTIALS, FailureKind.EXHAUSTED, FailureKind.TIMEOUT, FailureKind.TRANSPORT}
)
"""Kinds of failure that the keys or the network of one process may cause."""


def is_answered(verdict: Verdict) -> bool:
    """Whether a failure is the provider's own answer: it proves that the provider was reached.

    502 and 504 do not: they are what a proxy between says when it could not reach the provider.
    """
    answered = verdict.status is not None and verdict.status not in {502, 504}
    return answered and verdict.kind not in ABOUT_THE_PROCESS


class FollowingGate(GateState):
    """The part of a gate that follows other processes.

    Attributes:
        last_verdict: the verdict on the newest failure, or None.
        on_failure: called with the gate and the loop time before a failure is counted; None in a
            process that shares nothing.
    """

    __slots__ = (
        "_dispatcher",
        "_model",
        "_revision",
        "_rng",
        "_router",
        "last_verdict",
        "on_failure",
    )

    last_verdict: Verdict | None
    on_failure: Callable[[FollowingGate, float], None] | None
    _dispatcher: EventDispatcher
    _model: str | None
    _revision: ChangeCounter
    _rng: Random
    _router: str

    @property
    def _state(self) -> FollowingGate:
        """The gate itself. What is assigned through it is not declared again by a subclass."""
        return self

    @property
    def follows(self) -> bool:
        """Whether no hold decides about the circuit."""
        return self.hold in {None, "metrics_only"}

    @property
    def sees_models(self) -> bool:
        """Whether calls have named a model, on a route where models have circuits."""
        return self._model is not None

    def see_model(self, model: str, now: float) -> None:
        """Notes the model that a call names; from the second one on, models have circuits.

        A circuit that is open then was opened by the first model, and becomes its circuit.
        """
        if self._model is None:
            self._model = model
        elif self.models is None and model != self._model:
            models = self._state.models = ModelCircuits(
                self.circuit.policy, self._rng, self.tripped_models, self._model_circuit_changed
            )
            if self.hold is None and models.take_over(self._model, self.circuit, now):
                self.circuit.force(Signal.FORCE_CLOSED, "other_model", now)

    def _model_circuit_changed(
        self,
        model: str,
        old: CircuitState,
        new: CircuitState,
        reason: str,
        open_duration: float,
        now: float,
    ) -> None:
        event = ModelCircuitChanged(
            self._router, self.name, model, old.value, new.value, reason, open_duration, now
        )
        self._dispatcher.post("model_circuit_changed", event)

    def follow_open(self, now: float, left: float, openings: int, why: str) -> None:
        """Opens the circuit, or keeps it open, as those of other processes are.

        Args:
            now: loop time, seconds.
            left: seconds until theirs half-open.
            openings: consecutive openings that they count.
            why: the failure in words, for messages.
        """
        if not self.follows:
            return
        circuit = self.circuit
        circuit.settle(now)
        if circuit.is_closed:
            self._state.last_failure, self._state.last_verdict = why, None
        span = follower_duration(circuit.policy, left, self._rng)
        if circuit.state(now) is not CircuitState.OPEN:
            circuit.restore_open(now, FOLLOWED, span, openings)
        elif circuit.half_open_at < now + left:
            self.postpone_trial(now + span)
        circuit.consecutive_openings = max(circuit.consecutive_openings, openings)

    def follow_closed(self, now: float) -> None:
        """Closes the circuit, because trials of another process passed.

        One that opened for what may be the fault of this process half-opens: its own trial decides.
        """
        circuit = self.circuit
        circuit.suspected_until = -math.inf
        if not self.follows or circuit.is_closed:
            return
        own = self.last_verdict
        if circuit.reason == FOLLOWED or own is None or is_answered(own):
            circuit.force(Signal.PEER_RECOVERED, FOLLOWED, now)
        else:
            circuit.force(Signal.FORCE_HALF_OPEN, FOLLOWED, now)
            circuit.consecutive_openings = min(
                1, circuit.consecutive_openings
            )  # for an early trial

    def suspect(self, until: float) -> None:
        """Lets the next failure before a loop time (seconds) open the circuit."""
        self.circuit.suspected_until = until

    def postpone_trial(self, until: float) -> None:
        """Keeps an open circuit open until a loop time (seconds): another process makes a trial."""
        if self.circuit.postpone_trial(until):
            self._revision.value += 1

    def follow_cooldown(self, now: float, left: float, *, rate_limited: bool) -> None:
        """Cools down for the rest of a cooldown that began in another process, with jitter.

        Args:
            now: loop time, seconds.
            left: seconds that are left of it.
            rate_limited: whether it began with a rate limit.
        """
        if now + left <= self.cooldown_until:
            return
        seconds = follower_duration(self.circuit.policy, left, self._rng)
        state = self._state
        state.cooldown_until, state.rate_limited = now + seconds, rate_limited
        self._revision.value += 1
        event = CooldownStarted(self._router, self.name, seconds, False, now, from_peers=True)
        self._dispatcher.post("cooldown_started", event)
