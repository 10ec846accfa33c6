"""Circuit breaker of one provider, with generations and leased trials.

The allowed transitions are in `states.TRANSITIONS`; this module decides when they happen.
"""

from __future__ import annotations

import math
from random import Random

from multirouter.core.circuit import durations, trip_rules
from multirouter.core.circuit.half_open import HalfOpenTrials
from multirouter.core.circuit.permits import Permit
from multirouter.core.circuit.states import TRANSITIONS, CircuitState, OnTransition, Signal
from multirouter.core.rolling_window import RollingCounts
from multirouter.core.settings.policies import CircuitPolicy


class CircuitBreaker:
    """Circuit breaker of one provider.

    Attributes:
        generation: rises by one with every transition.
        half_open_at: loop time at which OPEN ends; `math.inf` while a hold keeps it open.
        shared_permit: the permit of all attempts of a generation while it is CLOSED, else None.
        reason: the reason of the last transition.
        consecutive_failures: failures since the last success or change of state.
        consecutive_openings: openings in a row without a recovery between; holds do not count.
        can_trip: whether failures open it; False while a hold keeps it closed.
        suspected_until: loop time, seconds, before which one failure opens it: circuits of other
            processes are open, but too few to be believed.
        window: calls and failures of the policy's window.
        trials: the trials while it is HALF_OPEN.
    """

    __slots__ = (
        "_closed_at",
        "_on_transition",
        "_rng",
        "_slow_calls",
        "_state",
        "can_trip",
        "consecutive_failures",
        "consecutive_openings",
        "generation",
        "half_open_at",
        "policy",
        "reason",
        "shared_permit",
        "suspected_until",
        "trials",
        "window",
    )

    def __init__(self, policy: CircuitPolicy, rng: Random, on_transition: OnTransition) -> None:
        self.policy: CircuitPolicy = policy
        self.window: RollingCounts = RollingCounts(policy.window)
        self.generation: int = 0
        self.half_open_at: float = math.inf
        self.shared_permit: Permit | None = Permit(0)
        self.reason: str = ""
        self.consecutive_openings: int = 0
        self.can_trip: bool = True
        self.suspected_until: float = -math.inf
        self._rng = rng
        self._on_transition = on_transition
        self._state = CircuitState.CLOSED
        self.consecutive_failures: int = 0
        self._closed_at = -math.inf
        self.trials: HalfOpenTrials = HalfOpenTrials()
        self._slow_calls = None if policy.slow_after is None else RollingCounts(policy.window)

    def state(self, now: float) -> CircuitState:
        """The state at `now`, also when the half-open timer has not run yet."""
        if self._state is CircuitState.OPEN and now >= self.half_open_at:
            return CircuitState.HALF_OPEN
        return self._state

    def admits(self, now: float, *, join: bool = False) -> bool:
        """Whether an attempt would be admitted at `now`.

        Args:
            now: loop time, seconds.
            join: whether it may join the trials in flight, see `HalfOpenTrials`.
        """
        state = self.state(now)
        if state is CircuitState.HALF_OPEN:
            join = join and self.policy.half_open_wait > 0.0
            return self.trials.admits(self.policy.half_open_max_calls, now, join=join)
        return state is CircuitState.CLOSED

    def ready_in(self, now: float) -> float | None:
        """Seconds until time alone admits an attempt; None when it does not."""
        if self.admits(now):
            return 0.0
        left = self.half_open_at - now
        return left if 0.0 < left < math.inf else None

    def recheck_in(self, now: float) -> float | None:
        """Seconds until time alone may admit an attempt that may join; None when it will not."""
        if self.admits(now, join=True):
            return 0.0
        if self.state(now) is not CircuitState.HALF_OPEN:
            return self.ready_in(now)
        return self.trials.recheck_in(now, join=self.policy.half_open_wait > 0.0)

    @property
    def is_closed(self) -> bool:
        """Whether it is CLOSED; needs no clock, since no circuit closes by time alone."""
        return self._state is CircuitState.CLOSED

    def closed_for(self, now: float) -> float:
        """Seconds since it closed after an outage; infinite when it never opened."""
        return now - self._closed_at

    def acquire(self, now: float, lease: float, *, join: bool = False) -> Permit | None:
        """Returns the permit for one attempt, or None when the circuit does not admit it.

        Args:
            now: loop time, seconds.
            lease: seconds after which a trial that has not been settled counts as lost.
            join: as for `admits`.
        """
        if self.shared_permit is not None:
            return self.shared_permit
        self.settle(now)
        if not self.admits(now, join=join):
            return None
        permit = Permit(self.generation, now + lease, trial=True, issued_at=now)
        self.trials.start(permit, now)
        return permit

    def uncounted(self) -> Permit:
        """Returns a permit whose result changes nothing, for attempts that ignore the circuit."""
        return Permit(-1)

    def record_success(
        self, permit: Permit, now: float, elapsed: float, slow: bool = False
    ) -> bool:
        """Settles a permit with a success.

        Args:
            permit: the attempt's permit.
            now: loop time, seconds.
            elapsed: the attempt's duration, seconds.
            slow: whether the provider is so slow that it counts as unhealthy.

        Returns:
            False when the result came too late to count.
        """
        if permit is self.shared_permit and not slow and self._slow_calls is None:
            self.consecutive_failures = 0  # the path of nearly every attempt
            self.window.record(now, False)
            return True
        if not self._redeem(permit):
            return False
        if self._slow_calls is not None:
            trial = self._state is CircuitState.HALF_OPEN
            slow = slow or trip_rules.too_slow(
                self.policy, self._slow_calls, now, elapsed, trial=trial
            )
        if slow and permit.trial:
            self._trial_failed(permit, now)
        elif slow and self.can_trip:
            self._transition(Signal.TRIP, "slow", now)
        elif permit.trial:
            self._trial_passed(now)
        else:
            self.consecutive_failures = 0
            self.window.record(now, failed=False)
        return True

    def record_failure(self, permit: Permit, now: float) -> bool:
        """Settles a permit with a failure; returns False when it came too late to count."""
        if not self._redeem(permit):
            return False
        if permit.trial:
            self._trial_failed(permit, now)
            return True
        self.consecutive_failures += 1
        self.window.record(now, failed=True)
        rule = trip_rules.failure_rule_met(self.policy, self.window, self.consecutive_failures)
        if self.can_trip and (rule or now < self.suspected_until):
            self._transition(Signal.TRIP, rule or "failures", now)
        return True

    def record_trip(self, permit: Permit, now: float, reason: str, open_duration: float) -> bool:
        """Settles a permit with a failure that trips at once, such as bad credentials.

        Args:
            permit: the attempt's permit.
            now: loop time, seconds.
            reason: the reason of the transition.
            open_duration: seconds the circuit stays open.

        Returns:
            False when the result came too late to count.
        """
        if not self._redeem(permit):
            return False
        if not permit.trial:
            self.window.record(now, failed=True)
        if permit.trial or self.can_trip:
            signal = Signal.TRIAL_FAILED if permit.trial else Signal.TRIP
            self._transition(signal, reason, now, open_duration)
        return True

    def copy_due(self, now: float) -> bool:
        """Counts a call that can carry a background trial; returns whether it should."""
        self.settle(now)
        return self.admits(now) and self.trials.copy_due(self.consecutive_openings)

    def release(self, permit: Permit) -> bool:
        """Settles a permit without a result; returns False when it came too late to count."""
        return self._redeem(permit)

    def pass_trial(self, permit: Permit, now: float) -> None:
        """Counts a trial as passed while its attempt continues, as a stream that delivers does.

        From then on the permit is an ordinary one of the current generation: the end of the
        attempt counts as any other result.
        """
        if not self._redeem(permit):
            return
        self._trial_passed(now)
        permit.trial = False
        permit.generation = self.generation

    def settle(self, now: float) -> None:
        """Half-opens the circuit if its open duration has passed at `now`."""
        if self._state is CircuitState.OPEN and now >= self.half_open_at:
            self._transition(Signal.TIMER_ELAPSED, "timer", now)

    def force(self, signal: Signal, reason: str, now: float) -> None:
        """Opens, closes or half-opens it for a hold; a forced opening has no end."""
        self.settle(now)
        self._transition(signal, reason, now, math.inf)

    def restore_open(self, now: float, reason: str, open_duration: float, openings: int) -> None:
        """Opens a circuit for the rest of an outage seen by another or an earlier process.

        A circuit that is open already, or has a trial in flight, is not changed.

        Args:
            now: loop time, seconds.
            reason: the reason of the transition.
            open_duration: seconds that are left of the open duration.
            openings: consecutive openings so far; less than 1 counts as 1.
        """
        if self._state is not CircuitState.OPEN and not self.trials.in_flight(now):
            signal = Signal.TRIP if self.is_closed else Signal.TRIAL_FAILED
            self._transition(signal, reason, now, open_duration)
            self.consecutive_openings = max(1, openings)

    def postpone_trial(self, until: float) -> bool:
        """Keeps an open circuit open until a loop time, seconds; returns whether that is later."""
        later = not self.is_closed and self.half_open_at < until
        if later:
            self.half_open_at = until
        return later

    def clear_counts(self) -> None:
        """Discards the successes, failures and slow answers counted so far."""
        self.consecutive_failures = 0
        self.window.clear()
        if self._slow_calls is not None:
            self._slow_calls.clear()

    def apply(self, policy: CircuitPolicy) -> None:
        """Replaces the policy; state, generation and a pending `half_open_at` stay."""
        old, self.policy = self.policy, policy
        if policy.window != old.window:
            self.window = RollingCounts(policy.window)
        if (policy.window, policy.slow_after) != (old.window, old.slow_after):
            self._slow_calls = None if policy.slow_after is None else RollingCounts(policy.window)
        # When fewer trials are required now, one more decides: nothing else would close it.
        self.trials.passed = min(self.trials.passed, policy.half_open_max_calls - 1)

    def shift(self, by: float) -> None:
        """Moves every instant by `by` seconds, to the clock of another loop."""
        self.half_open_at += by
        self.suspected_until += by
        self._closed_at += by
        self.window.shift(by)
        if self._slow_calls is not None:
            self._slow_calls.shift(by)
        self.trials.shift(by)

    def _redeem(self, permit: Permit) -> bool:
        """Removes a trial's permit; returns whether the permit still counts.

        It does not when it is of an earlier generation, or when it is a trial that is already
        settled or was replaced after its lease.
        """
        if permit.generation != self.generation:
            return False
        return not permit.trial or self.trials.settle(permit)

    def _trial_passed(self, now: float) -> None:
        self.trials.passed += 1
        if self.trials.passed >= self.policy.half_open_max_calls:
            self._transition(Signal.TRIALS_PASSED, "recovered", now)

    def _trial_failed(self, permit: Permit, now: float) -> None:
        """Opens again; the open duration counts from the trial's start."""
        self._transition(Signal.TRIAL_FAILED, "trial_failed", now, since=permit.issued_at)

    def _transition(
        self,
        signal: Signal,
        reason: str,
        now: float,
        open_duration: float | None = None,
        since: float | None = None,
    ) -> None:
        new = TRANSITIONS.get((self._state, signal))
        if new is None:
            return
        old, self._state = self._state, new
        self.generation += 1
        self.reason = reason
        self.trials.clear()
        self.shared_permit = Permit(self.generation) if new is CircuitState.CLOSED else None
        self.consecutive_failures = 0
        self.half_open_at = math.inf
        if new is CircuitState.OPEN:
            self._count_opening(old, now, forced=signal is Signal.FORCE_OPEN)
            if open_duration is None:
                n = self.consecutive_openings
                open_duration = durations.open_duration(self.policy, n, self._rng)
            self.half_open_at = durations.open_until(self.policy, open_duration, now, since)
        elif new is CircuitState.CLOSED:
            self._closed_at = now
            self.clear_counts()
        left = self.half_open_at - now if new is CircuitState.OPEN else 0.0
        self._on_transition(old, new, reason, left, now)

    def _count_opening(self, old: CircuitState, now: float, *, forced: bool) -> None:
        """Counts consecutive openings: closing for less than the window is no recovery."""
        recovered = old is CircuitState.CLOSED and self.closed_for(now) >= self.policy.window
        self.consecutive_openings = (0 if recovered else self.consecutive_openings) + (not forced)

    def __repr__(self) -> str:
        until = f" until {self.half_open_at:.3f}" if self._state is CircuitState.OPEN else ""
        return (
            f"<Circuit {self._state}{until} generation={self.generation} "
            f"consecutive_failures={self.consecutive_failures} "
            f"failed {self.window.failures}/{self.window.calls} trials={len(self.trials.permits)}>"
        )
