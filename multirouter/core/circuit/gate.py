"""Gate of one provider: circuit, cooldown, limits, budgets and holds behind one interface."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.circuit.durations import cooldown_duration, exhausted_duration
from multirouter.core.circuit.following import FollowingGate
from multirouter.core.circuit.model_circuits import ModelPermit
from multirouter.core.circuit.permits import Permit
from multirouter.core.circuit.states import CircuitState, Signal
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import (
    CircuitChanged,
    CooldownStarted,
    HoldChanged,
    HoldName,
)
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.model import FailureKind, Verdict

if TYPE_CHECKING:
    from multirouter.core.cost.account import Account


class Gate(FollowingGate):
    """Decides whether one provider may be attempted, and counts the results of its attempts.

    `GateState` lists its attributes.
    """

    __slots__ = ("_chance", "_consecutive_cooldowns", "_uncertain_failures", "_unrestricted")

    def __init__(
        self,
        name: str,
        policy: CircuitPolicy,
        limits: LimitPolicy | None,
        *,
        router: str,
        dispatcher: EventDispatcher,
        revision: ChangeCounter,
        rng: Random,
        tripped_models: ChangeCounter | None = None,
    ) -> None:
        # `state`, since mypyc visits what a subclass declares again twice: it was never collected.
        state = self._state
        state.name, state.in_flight, state.hold, state.removed = name, 0, None, False
        state.circuit = CircuitBreaker(policy, rng, self._circuit_changed)
        state.cooldown_until, state.rate_limited = -math.inf, False
        state.last_failure, state.last_verdict, state.on_failure = "", None, None
        state.models, state.account = None, None
        state.tripped_models = tripped_models or ChangeCounter()
        self._model = None
        self._limits = None if limits is None else Limits(limits)
        self._consecutive_cooldowns, self._chance = 0, 0.0
        self._uncertain_failures = 0
        self._router = router
        self._dispatcher = dispatcher
        self._revision = revision
        self._rng = rng
        self._unrestricted = limits is None

    # -- one attempt ------------------------------------------------------------------------

    def acquire(
        self,
        now: float,
        size: int,
        lease: float,
        panic: bool = False,
        join: bool = False,
        model: str = "",
    ) -> Permit | None:
        """Returns the permit for one attempt, or None when it is rejected.

        Args:
            now: loop time, seconds.
            size: the request's tokens, for the limits.
            lease: seconds after which a trial that has not been settled counts as lost.
            panic: whether circuit and cooldown are ignored.
            join: whether it may join the trials of a half-open circuit, see `HalfOpenTrials`.
            model: the model, for what is learned of its limits; the same at the attempt's end.
        """
        if self._unrestricted and now >= self.cooldown_until:
            # The shared permit is the path of nearly every attempt.
            permit = self.circuit.shared_permit or self.circuit.acquire(now, lease, join=join)
            if permit is None and panic:
                permit = self.circuit.uncounted()
        else:
            permit = self._acquire_checked(now, size, lease, model, panic=panic, join=join)
        if permit is not None:
            gate: FollowingGate = self
            gate.in_flight += 1
        return permit

    def _acquire_checked(
        self, now: float, size: int, lease: float, model: str, *, panic: bool, join: bool
    ) -> Permit | None:
        rejection = self._rejection_without_limits(now, join=join)
        ignored = panic and rejection.startswith(("open", "half_open", "cooling down"))
        if rejection and not ignored:
            return None
        if self._limits is not None:
            if not self._limits.admits(size, now, model):
                return None
            self._limits.acquire(size, now, model)
        if self.hold in {"closed", "metrics_only"} or self.hold is None:
            permit = self.circuit.acquire(now, lease, join=join)
            return permit or self.circuit.uncounted()
        return self.circuit.uncounted()

    def release_answered(
        self, permit: Permit, now: float, elapsed: float, slow: bool = False, model: str = ""
    ) -> bool:
        """Settles the permit of an attempt that was answered.

        Args:
            permit: the attempt's permit.
            now: loop time, seconds.
            elapsed: the attempt's duration, seconds.
            slow: whether the answer was so slow that the provider counts as unhealthy.
            model: as for `acquire`.

        Returns:
            True when the result came too late to count: the circuit has changed meanwhile.
        """
        gate: FollowingGate = self
        gate.in_flight -= 1  # as in _leave; this is the path of nearly every attempt
        if self._limits is not None:
            self._limits.answered(now, elapsed, model)
        self._consecutive_cooldowns = self._uncertain_failures = 0
        return (
            not self.circuit.record_success(permit, now, elapsed, slow) and permit.generation >= 0
        )

    def release_unanswered(
        self,
        permit: Permit,
        verdict: Verdict,
        effect: CircuitEffect,
        now: float,
        model: str = "",
    ) -> bool:
        """Settles the permit of an attempt that was not answered.

        Args:
            permit: the attempt's permit.
            verdict: the verdict on the attempt.
            effect: what the verdict's rule does to the circuit.
            now: loop time, seconds.
            model: as for `acquire`.

        Returns:
            True when the result came too late to count: the circuit has changed meanwhile.
        """
        if verdict.kind is FailureKind.RATE_LIMIT and (learned := self.learned) is not None:
            learned.of(model).rejected(now, self._rng.random())
        self._leave(model)
        if effect is not CircuitEffect.NEUTRAL:
            self._state.last_failure = verdict.reason or str(verdict.kind)
            self._state.last_verdict = verdict
        return not self._apply_effect(permit, verdict, effect, now) and permit.generation >= 0

    def count_failure(
        self, permit: Permit, model: ModelPermit | None, verdict: Verdict, now: float
    ) -> bool:
        """Counts a failure whose permit was settled without a result, if it is not too late.

        Args:
            permit: the attempt's permit, which was no trial's.
            model: the permit of its model.
            verdict: the verdict on the attempt.
            now: loop time, seconds.

        Returns:
            Whether it counts against the provider, and not against the model alone.
        """
        effect = CircuitEffect.FAILURE
        if model is not None and self.models is not None:
            effect = self.models.ended(model, verdict, effect, now)
        self._state.last_failure = verdict.reason or str(verdict.kind)
        self._state.last_verdict = verdict
        if effect is not CircuitEffect.FAILURE:
            return False
        self.circuit.record_failure(permit, now)
        return True

    def return_unused(self, permit: Permit, model: str = "") -> None:
        """Settles the permit of an attempt that was not made; `model` as for `acquire`."""
        self._leave(model)
        self.circuit.release(permit)

    def _leave(self, model: str) -> None:
        self._state.in_flight -= 1
        if self._limits is not None:
            self._limits.release(model)

    def _apply_effect(
        self, permit: Permit, verdict: Verdict, effect: CircuitEffect, now: float
    ) -> bool:
        if effect in {CircuitEffect.FAILURE, CircuitEffect.SUCCESS}:
            self._uncertain_failures = 0
        if effect is CircuitEffect.FAILURE:
            if verdict.retry_after:
                self._cool_down(verdict, now)
            if self.on_failure is not None:
                self.on_failure(self, now)
            return self.circuit.record_failure(permit, now)
        if effect is CircuitEffect.SUCCESS:
            # By a rule of the user: an error that shows that the provider works.
            return self.circuit.record_success(permit, now, 0.0)
        if effect is CircuitEffect.TRIP:
            return self._trip(permit, verdict, now)
        if effect is CircuitEffect.COOLDOWN:
            # Attempts in flight when a cooldown began change neither its jitter nor the next one.
            if now >= self.cooldown_until:
                self._consecutive_cooldowns += 1
                self._chance = self._rng.random()
            self._cool_down(verdict, now)
        return self.circuit.release(permit)

    def _trip(self, permit: Permit, verdict: Verdict, now: float) -> bool:
        """Trips at once on a certain verdict (401), at the second in a row on an uncertain one."""
        self._uncertain_failures += 1
        if not verdict.certain and self._uncertain_failures < 2:
            return self.circuit.record_failure(permit, now)
        span = exhausted_duration(self.circuit.policy, verdict)
        return self.circuit.record_trip(permit, now, str(verdict.kind), span)

    def _cool_down(self, verdict: Verdict, now: float) -> None:
        if verdict.kind is FailureKind.RATE_LIMIT and not verdict.retry_after and self.learned:
            return  # the learned rate says when
        seconds, from_retry_after = cooldown_duration(
            self.circuit.policy, verdict, self._consecutive_cooldowns, self._chance
        )
        if now + seconds > self.cooldown_until:
            self._state.cooldown_until = now + seconds
            self._state.rate_limited = verdict.kind is FailureKind.RATE_LIMIT
            self._revision.value += 1
            event = CooldownStarted(self._router, self.name, seconds, from_retry_after, now)
            self._dispatcher.post("cooldown_started", event)

    def release_model(self, permit: ModelPermit) -> None:
        """Settles a model's permit without a result."""
        if self.models is not None:
            self.models.release(permit)

    # -- holds, configuration, time ---------------------------------------------------------

    def set_hold(self, hold: HoldName | None, now: float) -> None:
        """Sets a hold (manual override), which only another call ends; None releases it."""
        previous, self._state.hold = self.hold, hold
        if previous == hold:
            return
        self._update_unrestricted()
        if self.models is not None:
            self.models.clear()  # a hold decides for all models
        self.circuit.can_trip = hold != "closed"
        if hold == "open":
            self.circuit.force(Signal.FORCE_OPEN, "held", now)
        elif hold == "closed":
            self.circuit.force(Signal.FORCE_CLOSED, "held", now)
        elif previous == "open":
            self.circuit.force(Signal.FORCE_HALF_OPEN, "released", now)
        elif previous == "closed":
            self.circuit.clear_counts()
        self._revision.value += 1
        self._dispatcher.post("hold_changed", HoldChanged(self._router, self.name, hold))

    def apply(self, policy: CircuitPolicy, limits: LimitPolicy | None) -> None:
        """Replaces the policies; circuit state, cooldown and attempts in flight stay."""
        self.circuit.apply(policy)
        if self.models is not None:
            self.models.apply(policy)
        if limits is None:
            self._limits = None
        elif self._limits is None:
            self._limits = Limits(limits)
            self._limits.forget_attempts(self.in_flight)
        else:
            self._limits.apply(limits)
        self._update_unrestricted()
        self._revision.value += 1

    def forget_attempts(self) -> None:
        """Counts no attempt as in flight; one that ends nevertheless must not be recorded."""
        self._state.in_flight = 0
        if self._limits is not None:
            self._limits.forget_attempts()
        self.circuit.trials.permits = []
        if self.models is not None:
            self.models.forget_attempts()
        self._revision.value += 1

    def set_account(self, account: Account | None) -> None:
        """Rejects attempts while a budget of this account is used up; None removes the account."""
        self._state.account = account
        if account is not None:
            account.revision = self._revision
        self._update_unrestricted()

    def _update_unrestricted(self) -> None:
        self._unrestricted = self._limits is None and self.account is None and self.hold is None

    def shift(self, by: float) -> None:
        """Moves every instant by `by` seconds, to the clock of another loop."""
        self._state.cooldown_until += by
        self.circuit.shift(by)
        if self.models is not None:
            self.models.shift(by)
        if self._limits is not None:
            self._limits.shift(by)
        self._revision.value += 1

    def _circuit_changed(
        self, old: CircuitState, new: CircuitState, reason: str, open_duration: float, now: float
    ) -> None:
        self._revision.value += 1
        generation = self.circuit.generation
        event = CircuitChanged(
            self._router, self.name, old.value, new.value, reason, generation, open_duration, now
        )
        self._dispatcher.post("circuit_changed", event)
