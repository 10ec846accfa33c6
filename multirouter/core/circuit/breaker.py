"""May I, by health: one provider's circuit breaker, with eras and leased trials.

Its changes are those of `states.TRANSITIONS`; this is what brings them about.
"""

from __future__ import annotations

import math
from random import Random
from typing import Protocol

from multirouter.core.circuit.permits import Permit
from multirouter.core.circuit.states import TRANSITIONS, CircuitState, Signal
from multirouter.core.failures.backoff import grown, jitter_of
from multirouter.core.rolling_window import RollingCounts
from multirouter.core.settings.policies import CircuitPolicy

DEFAULT_FAILURES = 3
"""Failures in a row that trip a circuit under light traffic, when the policy names no rule."""

DEFAULT_FAILURE_RATE = 0.5
"""Share of failures that trips a circuit, when the policy names no rule."""


class Changed(Protocol):
    """Is told of each change: the old state, the new one, why, and how long it stays open."""

    def __call__(
        self, old: CircuitState, new: CircuitState, reason: str, open_duration: float, now: float
    ) -> None:
        """Hears of one change, after it was made."""


class CircuitBreaker:
    """One provider's circuit breaker.

    Attributes:
        era: rises by one with every change of state.
        half_open_at: loop time at which OPEN is over, `math.inf` when a hand holds it open.
        passing: the permit that all attempts of an era share while it is CLOSED, else None.
        why: the reason of the last change.
        opened: how many times in a row it opened by itself without a recovery between.
        window: calls and failures of the policy's window.
    """

    __slots__ = (
        "_changed",
        "_closed_at",
        "_passed",
        "_rng",
        "_run",
        "_slow",
        "_state",
        "_trials",
        "generation",
        "half_open_at",
        "opened",
        "policy",
        "shared_permit",
        "trips",
        "why",
        "window",
    )

    def __init__(self, policy: CircuitPolicy, rng: Random, changed: Changed) -> None:
        self.policy: CircuitPolicy = policy
        self.window: RollingCounts = RollingCounts(policy.window)
        self.generation: int = 0
        self.half_open_at: float = math.inf
        self.shared_permit: Permit | None = Permit(0)
        self.why: str = ""
        self.opened: int = 0
        self.trips: bool = True
        self._rng = rng
        self._changed = changed
        self._state = CircuitState.CLOSED
        self._run = 0
        self._passed = 0
        self._closed_at = -math.inf
        self._trials: list[Permit] = []
        self._slow = None if policy.slow_after is None else RollingCounts(policy.window)

    # -- asking takes nothing ---------------------------------------------------------------

    def state(self, now: float) -> CircuitState:
        """The state at `now`, true even when nothing told the circuit that time has passed."""
        if self._state is CircuitState.OPEN and now >= self.half_open_at:
            return CircuitState.HALF_OPEN
        return self._state

    def admits(self, now: float) -> bool:
        """Whether an attempt would be let in at `now`."""
        state = self.state(now)
        if state is CircuitState.HALF_OPEN:
            return self._passed + self._trials_out(now) < self.policy.half_open_max_calls
        return state is CircuitState.CLOSED

    def ready_in(self, now: float) -> float | None:
        """Seconds until time alone lets an attempt in; None when time alone will not."""
        if self.admits(now):
            return 0.0
        if self._state is CircuitState.OPEN and now < self.half_open_at:
            return self.half_open_at - now if self.half_open_at < math.inf else None
        ends = sorted(trial.lease_until for trial in self._trials if trial.lease_until > now)
        return ends[self._passed + len(ends) - self.policy.half_open_max_calls] - now

    @property
    def is_closed(self) -> bool:
        """Whether it is CLOSED; no clock is needed, since no circuit closes by time alone."""
        return self._state is CircuitState.CLOSED

    def closed_for(self, now: float) -> float:
        """Seconds since it closed after an outage; infinite when it never opened."""
        return now - self._closed_at

    # -- one attempt ------------------------------------------------------------------------

    def acquire(self, now: float, lease: float) -> Permit | None:
        """Gives the permit for one attempt, or None.

        Args:
            now: loop time, seconds.
            lease: seconds after which a trial that has not settled is taken for lost.
        """
        if self.shared_permit is not None:
            return self.shared_permit
        self.settle(now)
        if not self.admits(now):
            return None
        self._trials = [trial for trial in self._trials if trial.lease_until > now]
        permit = Permit(self.generation, now + lease, trial=True, given_at=now)
        self._trials.append(permit)
        return permit

    def uncounted(self) -> Permit:
        """A permit that asks nobody and moves nothing: for a choice that ignores circuits."""
        return Permit(-1)

    def succeeded(self, permit: Permit, now: float, elapsed: float, *, slow: bool = False) -> bool:
        """Takes a permit back with a success; False when it came too late to count.

        Args:
            permit: the attempt's permit.
            now: loop time, seconds.
            elapsed: what the attempt took, seconds.
            slow: whether its provider is so slow that it counts as ill.
        """
        if permit is self.shared_permit and not slow and self._slow is None:
            self._run = 0  # nearly every attempt goes this way
            self.window.record(now, failed=False)
            return True
        if not self._take_back(permit):
            return False
        slow = slow or (self._slow is not None and self._too_often_slow(self._slow, now, elapsed))
        if slow and (permit.trial or self.trips):
            if permit.trial:
                self._trial_failed(permit, now)
            else:
                self._turn(Signal.TRIP, "slow", now)
        elif permit.trial:
            self._passed += 1
            if self._passed >= self.policy.half_open_max_calls:
                self._turn(Signal.TRIALS_PASSED, "recovered", now)
        else:
            self._run = 0
            self.window.record(now, failed=False)
        return True

    def failed(self, permit: Permit, now: float) -> bool:
        """Takes a permit back with a failure; False when it came too late to count."""
        if not self._take_back(permit):
            return False
        if permit.trial:
            self._trial_failed(permit, now)
            return True
        self._run += 1
        self.window.record(now, failed=True)
        rule = self._rule_met()
        if rule and self.trips:
            self._turn(Signal.TRIP, rule, now)
        return True

    def tripped(self, permit: Permit, now: float, reason: str, open_duration: float) -> bool:
        """Takes a permit back with a failure that proves by itself that asking again is vain."""
        if not self._take_back(permit):
            return False
        if not permit.trial:
            self.window.record(now, failed=True)
        if permit.trial or self.trips:
            signal = Signal.TRIAL_FAILED if permit.trial else Signal.TRIP
            self._turn(signal, reason, now, open_duration)
        return True

    def returned(self, permit: Permit) -> bool:
        """Takes a permit back with nothing learned; False when it came too late to count."""
        return self._take_back(permit)

    def renew(self, permit: Permit, now: float, lease: float) -> None:
        """Prolongs the lease of a trial that is alive."""
        permit.lease_until = now + lease

    def prove(self, permit: Permit, now: float) -> None:
        """Counts a trial as passed while its attempt goes on; its end counts as any other's."""
        if not self._take_back(permit):
            return
        self._passed += 1
        if self._passed >= self.policy.half_open_max_calls:
            self._turn(Signal.TRIALS_PASSED, "recovered", now)
        permit.trial = False
        permit.generation = self.generation

    # -- time and hands ---------------------------------------------------------------------

    def settle(self, now: float) -> None:
        """Makes the change that time has already made true."""
        if self._state is CircuitState.OPEN and now >= self.half_open_at:
            self._turn(Signal.TIME_UP, "reset", now)

    def force(self, signal: Signal, reason: str, now: float) -> None:
        """Opens, closes or half-opens it by hand."""
        self.settle(now)
        self._turn(signal, reason, now, math.inf)

    def restore_open(self, now: float, reason: str, open_duration: float, opened: int) -> None:
        """Opens it for what is left of an outage that another process or an earlier run saw."""
        if self.is_closed:
            self._turn(Signal.TRIP, reason, now, open_duration)
            self.opened = max(1, opened)

    def forget(self) -> None:
        """Forgets the failures so far."""
        self._run = 0
        self.window.clear()
        if self._slow is not None:
            self._slow.clear()

    def adopt(self, policy: CircuitPolicy) -> None:
        """Goes on under another policy; state, era and the time of a pending reset stay."""
        old, self.policy = self.policy, policy
        if policy.window != old.window:
            self.window = RollingCounts(policy.window)
        if (policy.window, policy.slow_after) != (old.window, old.slow_after):
            self._slow = None if policy.slow_after is None else RollingCounts(policy.window)
        # With fewer trials asked for, one more of them decides: nothing else would close it.
        self._passed = min(self._passed, policy.half_open_max_calls - 1)

    def shift(self, by: float) -> None:
        """Moves every instant by `by` seconds, to the clock of another loop."""
        self.half_open_at += by
        self._closed_at += by
        self.window.shift(by)
        if self._slow is not None:
            self._slow.shift(by)
        for permit in self._trials:
            permit.lease_until += by
            permit.given_at += by

    # -- inside -----------------------------------------------------------------------------

    def _take_back(self, permit: Permit) -> bool:
        """Whether a permit is of this era, and as a trial neither ended nor given up for lost."""
        if permit.generation != self.generation:
            return False
        if permit.trial:
            if permit not in self._trials:
                return False
            self._trials.remove(permit)
        return True

    def _trials_out(self, now: float) -> int:
        return sum(permit.lease_until > now for permit in self._trials)

    def _rule_met(self) -> str:
        """Which rule of the policy says that it is enough, or an empty string."""
        policy, window = self.policy, self.window
        failures, rate = policy.failures, policy.failure_rate
        if failures is None and rate is None:
            failures = max(DEFAULT_FAILURES, window.calls.bit_length() - 1)
            rate = DEFAULT_FAILURE_RATE
        if failures is not None and self._run >= failures:
            return "failures"
        if rate is not None and window.calls >= policy.minimum_calls:
            return "failure_rate" if window.failures >= rate * window.calls else ""
        return ""

    def _too_often_slow(self, slow: RollingCounts, now: float, elapsed: float) -> bool:
        policy = self.policy
        over = elapsed > (policy.slow_after or math.inf)
        slow.record(now, failed=over)
        if self._state is CircuitState.HALF_OPEN:
            return over
        enough = slow.calls >= policy.minimum_calls
        return enough and slow.failures >= policy.slow_rate * slow.calls

    def _trial_failed(self, permit: Permit, now: float) -> None:
        """Opens again, its time counted from the trial's start, with a rest of `open_duration` at least.

        So trials that hang follow each other nearly as fast as trials that fail at once, and
        whoever recovers is found out as soon.
        """
        self._turn(Signal.TRIAL_FAILED, "trial_failed", now, since=permit.given_at)

    def _turn(
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
        self.why = reason
        self._trials = []
        self.shared_permit = Permit(self.generation) if new is CircuitState.CLOSED else None
        self._passed = self._run = 0
        self.half_open_at = math.inf
        if new is CircuitState.OPEN:
            self._count_opening(old, now, by_hand=signal is Signal.FORCE_OPEN)
            span = self._open_time() if open_duration is None else open_duration
            self.half_open_at = now + span
            if since is not None:
                self.half_open_at = max(since + span, now + min(span, self.policy.open_duration))
        elif new is CircuitState.CLOSED:
            self._closed_at = now
            self.forget()
        self._changed(
            old, new, reason, self.half_open_at - now if new is CircuitState.OPEN else 0.0, now
        )

    def _count_opening(self, old: CircuitState, now: float, *, by_hand: bool) -> None:
        """A relapse soon after closing is no recovery: the open time goes on growing."""
        recovered = old is CircuitState.CLOSED and self.closed_for(now) >= self.policy.window
        self.opened = (0 if recovered else self.opened) + (not by_hand)

    def _open_time(self) -> float:
        policy = self.policy
        span = grown(policy.open_duration, policy.growth, policy.max_open_duration, self.opened)
        return span * (1.0 + self._rng.random() * jitter_of(policy))

    def __repr__(self) -> str:
        until = f" until {self.half_open_at:.3f}" if self._state is CircuitState.OPEN else ""
        return (
            f"<Circuit {self._state}{until} era={self.generation} run={self._run} "
            f"failed {self.window.failures}/{self.window.calls} trials={len(self._trials)}>"
        )
