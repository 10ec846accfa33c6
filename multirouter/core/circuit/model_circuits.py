"""Circuits of the models of one provider: a failing model does not take the others with it.

A provider that has served one model only has one circuit, its own. As soon as calls name a second
model, failures that may be about the model count at the circuit of the model. They count at the
provider's circuit too when more than one model has failed since the last answer of any.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.circuit.durations import exhausted_duration, follower_duration
from multirouter.core.circuit.permits import Permit
from multirouter.core.circuit.states import CircuitState, Signal
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy
from multirouter.model import FailureKind, Verdict

MAX_MODELS = 64
"""Circuits that are kept for one provider: a model gets one with its first failure. Beyond this
number a closed one is dropped; when none is closed, further models have none."""

FAILING = frozenset({"failures", "failure_rate", "trial_failed"})
"""Reasons of an open circuit that may be about one model."""

PROVIDER_KINDS: frozenset[FailureKind] = frozenset({FailureKind.TRANSPORT})
"""Kinds of failure that are never about one model."""

OnModelTransition = Callable[[str, CircuitState, CircuitState, str, float, float], None]
"""Called with the model, the old and new state, the reason, the open duration and the time."""


class ModelPermit(NamedTuple):
    """Permission to attempt one model.

    Attributes:
        model: its name.
        permit: the permit of its circuit; None for a model without a circuit.
    """

    model: str
    permit: Permit | None


class ModelCircuits:
    """The circuits of one provider's models.

    Args:
        policy: the provider's circuit policy.
        rng: source of the jitter.
        tripped: rises and falls with the number of the router's model circuits that are not closed.
        on_transition: called after each transition.

    Attributes:
        last_verdict: the verdict on the newest failure that counted at a model, or None.
    """

    __slots__ = (
        "_circuits",
        "_failing",
        "_on_transition",
        "_policy",
        "_rng",
        "_tripped",
        "last_verdict",
    )

    def __init__(
        self,
        policy: CircuitPolicy,
        rng: Random,
        tripped: ChangeCounter,
        on_transition: OnModelTransition,
    ) -> None:
        self._policy = policy
        self._rng = rng
        self._tripped = tripped
        self._on_transition = on_transition
        self._circuits: dict[str, CircuitBreaker] = {}
        self._failing: set[str] = set()
        self.last_verdict: Verdict | None = None

    # -- reading ----------------------------------------------------------------------------

    def is_open(self, model: str, now: float) -> bool:
        """Whether the circuit of a model is open at `now` (loop time, seconds)."""
        circuit = self._circuits.get(model)
        return circuit is not None and circuit.state(now) is CircuitState.OPEN

    def describe(self, model: str, now: float) -> str:
        """The state of an open model circuit in words, with the seconds until it changes."""
        circuit = self._circuits[model]
        seconds = circuit.half_open_at - now
        return f"model {model} open ({circuit.reason}), half-open in {seconds:.1f} s"

    def ready_in(self, model: str, now: float) -> float:
        """Seconds until the circuit of a model half-opens; 0 when it is not open."""
        return self._circuits[model].half_open_at - now if self.is_open(model, now) else 0.0

    def states(self, now: float) -> dict[str, str]:
        """The state of each model's circuit that is not closed, by model; for any thread."""
        return {
            model: str(circuit.state(now))
            for model, circuit in tuple(self._circuits.items())
            if not circuit.is_closed
        }

    def circuit(self, model: str) -> CircuitBreaker | None:
        """The circuit of a model, if it has one."""
        return self._circuits.get(model)

    def counts(self, model: str) -> tuple[int, int]:
        """Consecutive openings of a model's circuit, and failed attempts in its window."""
        circuit = self._circuits.get(model)
        return (
            (0, 0) if circuit is None else (circuit.consecutive_openings, circuit.window.failures)
        )

    # -- other processes of a fleet ---------------------------------------------------------

    def follow_open(self, model: str, now: float, left: float, openings: int, reason: str) -> None:
        """Opens the circuit of a model, or keeps it open, as those of other processes are.

        Args:
            model: its name.
            now: loop time, seconds.
            left: seconds until theirs half-open.
            openings: consecutive openings that they count.
            reason: the reason of the transition.
        """
        circuit = self._circuits.get(model) or self._add(model)
        if circuit is None:
            return
        circuit.settle(now)
        span = follower_duration(self._policy, left, self._rng)
        if circuit.state(now) is not CircuitState.OPEN:
            circuit.restore_open(now, reason, span, openings)
        elif circuit.half_open_at < now + left:
            circuit.postpone_trial(now + span)
        circuit.consecutive_openings = max(circuit.consecutive_openings, openings)

    def follow_closed(self, model: str, now: float, reason: str) -> None:
        """Closes the circuit of a model, because trials of another process passed."""
        circuit = self._circuits.get(model)
        if circuit is not None and not circuit.is_closed:
            circuit.force(Signal.PEER_RECOVERED, reason, now)
            self._failing.discard(model)

    def postpone_trial(self, model: str, until: float) -> None:
        """Keeps an open circuit open until a loop time (seconds): another process makes a trial."""
        circuit = self._circuits.get(model)
        if circuit is not None:
            circuit.postpone_trial(until)

    # -- one attempt ------------------------------------------------------------------------

    def acquire(self, model: str, now: float, lease: float, *, join: bool) -> ModelPermit | None:
        """Returns the permit to attempt a model, or None when its circuit does not admit it.

        Args:
            model: its name.
            now: loop time, seconds.
            lease: seconds after which a trial that has not been settled counts as lost.
            join: whether it may join the trials of a half-open circuit.
        """
        circuit = self._circuits.get(model)
        if circuit is None:
            return ModelPermit(model, None)
        permit = circuit.acquire(now, lease, join=join)
        return None if permit is None else ModelPermit(model, permit)

    def succeeded(self, permit: ModelPermit, now: float, elapsed: float) -> None:
        """Settles a permit with a success."""
        self._failing.clear()
        if permit.permit is not None and (circuit := self._circuits.get(permit.model)):
            circuit.record_success(permit.permit, now, elapsed)

    def ended(
        self, permit: ModelPermit, verdict: Verdict, effect: CircuitEffect, now: float
    ) -> CircuitEffect:
        """Settles a permit without a success.

        Args:
            permit: the attempt's permit.
            verdict: the verdict on the attempt.
            effect: what it would do to the provider's circuit.
            now: loop time, seconds.

        Returns:
            What it does to the provider's circuit.
        """
        uncertain = effect is CircuitEffect.TRIP and not verdict.certain
        if not (uncertain or effect is CircuitEffect.FAILURE) or verdict.kind in PROVIDER_KINDS:
            self.release(permit)
            return effect
        self.last_verdict = verdict
        circuit = self._circuits.get(permit.model) or self._add(permit.model)
        if circuit is not None:
            own = permit.permit or circuit.shared_permit or circuit.uncounted()
            if uncertain:
                span = exhausted_duration(self._policy, verdict)
                circuit.record_trip(own, now, str(verdict.kind), span)
            else:
                circuit.record_failure(own, now)
        self._failing.add(permit.model)
        if len(self._failing) > 1:
            return effect
        return CircuitEffect.COOLDOWN if verdict.retry_after else CircuitEffect.NEUTRAL

    def release(self, permit: ModelPermit) -> None:
        """Settles a permit without a result."""
        if permit.permit is not None and (circuit := self._circuits.get(permit.model)):
            circuit.release(permit.permit)

    # -- the provider's own circuit, configuration, time ------------------------------------

    def take_over(self, model: str, circuit: CircuitBreaker, now: float) -> bool:
        """Opens the circuit of the first model as the provider's own is.

        Args:
            model: the only model that calls have named so far.
            circuit: the provider's own circuit.
            now: loop time, seconds.

        Returns:
            Whether failures had opened the provider's own, which may then close.
        """
        own = self._add(model) if circuit.reason in FAILING and not circuit.is_closed else None
        if own is None:
            return False
        left = max(0.0, circuit.half_open_at - now)
        own.restore_open(now, circuit.reason, left, circuit.consecutive_openings)
        self._failing.add(model)
        return True

    def apply(self, policy: CircuitPolicy) -> None:
        """Replaces the policy; states stay."""
        self._policy = policy
        for circuit in self._circuits.values():
            circuit.apply(policy)

    def clear(self) -> None:
        """Closes and forgets all circuits, when a hold decides or the provider is removed."""
        self._tripped.value -= sum(not circuit.is_closed for circuit in self._circuits.values())
        self._circuits.clear()
        self._failing.clear()

    def forget_attempts(self) -> None:
        """Counts no trial as in flight."""
        for circuit in self._circuits.values():
            circuit.trials.permits = []

    def shift(self, by: float) -> None:
        """Moves every instant by `by` seconds, to the clock of another loop."""
        for circuit in self._circuits.values():
            circuit.shift(by)

    def _add(self, model: str) -> CircuitBreaker | None:
        if len(self._circuits) >= MAX_MODELS:
            closed = next((name for name, c in self._circuits.items() if c.is_closed), None)
            if closed is None:
                return None
            del self._circuits[closed]

        def changed(
            old: CircuitState, new: CircuitState, reason: str, open_duration: float, now: float
        ) -> None:
            if old is CircuitState.CLOSED:
                self._tripped.value += 1
            elif new is CircuitState.CLOSED:
                self._tripped.value -= 1
            self._on_transition(model, old, new, reason, open_duration, now)

        circuit = self._circuits[model] = CircuitBreaker(self._policy, self._rng, changed)
        return circuit
