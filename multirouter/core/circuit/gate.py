"""Gate of one provider: circuit, cooldown, limits, budgets and holds behind one interface."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.circuit.durations import cooldown_duration, exhausted_duration
from multirouter.core.circuit.permits import Permit
from multirouter.core.circuit.states import CircuitState, Signal
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import CircuitChanged, CooldownStarted, HoldChanged, HoldName
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.model import Verdict

if TYPE_CHECKING:
    from multirouter.core.cost.budgets import Account


class Gate:
    """Decides whether one provider may be attempted, and counts the results of its attempts.

    Attributes:
        name: the provider's name.
        account: its budgets, or None.
        circuit: its circuit breaker.
        in_flight: attempts under way.
        cooldown_until: loop time at which the cooldown after a 429 ends.
        hold: the hold (manual override) in force, or None.
        last_failure: the reason of its newest failure (`status 503`), for messages.
        removed: whether it was removed from the router; attempts in flight still end here.
    """

    __slots__ = (
        "_consecutive_cooldowns",
        "_dispatcher",
        "_limits",
        "_revision",
        "_router",
        "_uncertain_failures",
        "_unrestricted",
        "account",
        "circuit",
        "cooldown_until",
        "hold",
        "in_flight",
        "last_failure",
        "name",
        "removed",
    )

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
    ) -> None:
        self.name: str = name
        self.circuit: CircuitBreaker = CircuitBreaker(policy, rng, self._circuit_changed)
        self.in_flight: int = 0
        self.cooldown_until: float = -math.inf
        self.hold: HoldName | None = None
        self.removed: bool = False
        self.last_failure: str = ""
        self._limits = None if limits is None else Limits(limits)
        self.account: Account | None = None
        self._consecutive_cooldowns = 0
        self._uncertain_failures = 0
        self._router = router
        self._dispatcher = dispatcher
        self._revision = revision
        self._unrestricted = limits is None

    # -- reading; nothing here takes a permit -----------------------------------------------

    def rejection(self, now: float, size: int = 0) -> str:
        """Why an attempt of `size` tokens cannot start at `now`, in words; empty when it can."""
        if self.hold == "open":
            return "held open"
        if self.hold in {None, "closed"} and now < self.cooldown_until:
            return "cooling down"
        if self.hold is None and not self.circuit.admits(now):
            half_open = self.circuit.state(now) is CircuitState.HALF_OPEN
            return "half_open, trial in flight" if half_open else "open"
        if self.account is not None and (used_up := self.account.rejection()):
            return used_up
        return "" if self._limits is None else self._limits.rejection(size, now)

    def admits(self, now: float, size: int = 0) -> bool:
        """Whether an attempt could start at `now`."""
        return not self.rejection(now, size)

    def selectable(self, now: float) -> bool:
        """Whether the provider takes part in the selection.

        It does when its circuit is closed and neither a cooldown nor a budget excludes it. A hold
        decides alone. Limits do not count: they are checked when an attempt starts.
        """
        if self.hold is not None:
            return self.hold != "open"
        healthy = now >= self.cooldown_until and self.circuit.state(now) is CircuitState.CLOSED
        return healthy and (self.account is None or not self.account.rejection())

    def half_open(self, now: float) -> bool:
        """Whether its circuit is half-open and neither a hold nor a cooldown is in force."""
        return (
            self.hold is None
            and now >= self.cooldown_until
            and self.circuit.state(now) is CircuitState.HALF_OPEN
        )

    def unhealthy(self, now: float) -> bool:
        """Whether more than half of its recent attempts failed, or its circuit is not closed."""
        window = self.circuit.window
        window.settle(now)
        return not self.circuit.is_closed or window.failures * 2 > window.calls

    def changes_at(self, now: float) -> float:
        """The next loop time at which time alone changes `selectable` or `half_open`."""
        renewed_in = 0.0 if self.account is None else self.account.ready_in()
        instants = (self.cooldown_until, self.circuit.half_open_at, now + renewed_in)
        return min((at for at in instants if at > now), default=math.inf)

    def ready_in(self, now: float, size: int = 0) -> float | None:
        """Seconds until time alone lets an attempt start; None when time alone does not."""
        if self.hold == "open":
            return None
        waits = [0.0 if self._limits is None else self._limits.ready_in(size, now)]
        waits.append(0.0 if self.account is None else self.account.ready_in())
        if self.hold in {None, "closed"}:
            waits.append(max(0.0, self.cooldown_until - now))
        if self.hold is None:
            waits.append(self.circuit.ready_in(now))
        known = [wait for wait in waits if wait is not None]
        return max(known) if len(known) == len(waits) else None

    # -- one attempt ------------------------------------------------------------------------

    def acquire(self, now: float, size: int, lease: float, *, panic: bool = False) -> Permit | None:
        """Returns the permit for one attempt, or None when it is rejected.

        Args:
            now: loop time, seconds.
            size: the request's tokens, for the limits.
            lease: seconds after which a trial that has not been settled counts as lost.
            panic: whether circuit and cooldown are ignored.
        """
        if self._unrestricted and now >= self.cooldown_until:
            # The shared permit is the path of nearly every attempt.
            permit = self.circuit.shared_permit or self.circuit.acquire(now, lease)
            if permit is None and panic:
                permit = self.circuit.uncounted()
        else:
            permit = self._acquire_checked(now, size, lease, panic=panic)
        if permit is not None:
            self.in_flight += 1
        return permit

    def _acquire_checked(
        self, now: float, size: int, lease: float, *, panic: bool
    ) -> Permit | None:
        rejection = self.rejection(now, size)
        ignored = panic and rejection.startswith(("open", "half_open", "cooling down"))
        if rejection and not ignored:
            return None
        if self._limits is not None:
            if self._limits.rejection(size, now):
                return None
            self._limits.acquire(size, now)
        if self.hold in {"closed", "metrics_only"} or self.hold is None:
            permit = self.circuit.acquire(now, lease)
            return permit or self.circuit.uncounted()
        return self.circuit.uncounted()

    def release_answered(
        self, permit: Permit, now: float, elapsed: float, *, slow: bool = False
    ) -> bool:
        """Settles the permit of an attempt that was answered.

        Args:
            permit: the attempt's permit.
            now: loop time, seconds.
            elapsed: the attempt's duration, seconds.
            slow: whether the answer was so slow that the provider counts as unhealthy.

        Returns:
            True when the result came too late to count: the circuit has changed meanwhile.
        """
        self.in_flight -= 1  # as in _leave; this is the path of nearly every attempt
        if self._limits is not None:
            self._limits.release()
        self._consecutive_cooldowns = self._uncertain_failures = 0
        return (
            not self.circuit.record_success(permit, now, elapsed, slow=slow)
            and permit.generation >= 0
        )

    def release_unanswered(
        self, permit: Permit, verdict: Verdict, effect: CircuitEffect, now: float
    ) -> bool:
        """Settles the permit of an attempt that was not answered.

        Args:
            permit: the attempt's permit.
            verdict: the verdict on the attempt.
            effect: what the verdict's rule does to the circuit.
            now: loop time, seconds.

        Returns:
            True when the result came too late to count: the circuit has changed meanwhile.
        """
        self._leave()
        if effect is not CircuitEffect.NEUTRAL:
            self.last_failure = verdict.reason or str(verdict.kind)
        return not self._apply_effect(permit, verdict, effect, now) and permit.generation >= 0

    def return_unused(self, permit: Permit) -> None:
        """Settles the permit of an attempt that was not made."""
        self._leave()
        self.circuit.release(permit)

    def _leave(self) -> None:
        self.in_flight -= 1
        if self._limits is not None:
            self._limits.release()

    def _apply_effect(
        self, permit: Permit, verdict: Verdict, effect: CircuitEffect, now: float
    ) -> bool:
        if effect in {CircuitEffect.FAILURE, CircuitEffect.SUCCESS}:
            self._uncertain_failures = 0
        if effect is CircuitEffect.FAILURE:
            return self.circuit.record_failure(permit, now)
        if effect is CircuitEffect.SUCCESS:
            # By a rule of the user: an error that shows that the provider works.
            return self.circuit.record_success(permit, now, 0.0)
        if effect is CircuitEffect.TRIP:
            return self._trip(permit, verdict, now)
        if effect is CircuitEffect.COOLDOWN:
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
        # Attempts in flight when a cooldown began do not lengthen the next one.
        if now >= self.cooldown_until:
            self._consecutive_cooldowns += 1
        seconds, from_retry_after = cooldown_duration(
            self.circuit.policy, verdict, self._consecutive_cooldowns
        )
        if now + seconds > self.cooldown_until:
            self.cooldown_until = now + seconds
            self._revision.value += 1
            event = CooldownStarted(self._router, self.name, seconds, from_retry_after, now)
            self._dispatcher.post("cooldown_started", event)

    # -- holds, configuration, time ---------------------------------------------------------

    def set_hold(self, hold: HoldName | None, now: float) -> None:
        """Sets a hold (manual override), which only another call ends; None releases it."""
        previous, self.hold = self.hold, hold
        if previous == hold:
            return
        self._update_unrestricted()
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
        if limits is None:
            self._limits = None
        elif self._limits is None:
            self._limits = Limits(limits)
            self._limits.in_flight = self.in_flight
        else:
            self._limits.apply(limits)
        self._update_unrestricted()
        self._revision.value += 1

    def set_account(self, account: Account | None) -> None:
        """Rejects attempts while a budget of this account is used up; None removes the account."""
        self.account = account
        if account is not None:
            account.revision = self._revision
        self._update_unrestricted()

    def _update_unrestricted(self) -> None:
        self._unrestricted = self._limits is None and self.account is None and self.hold is None

    def shift(self, by: float) -> None:
        """Moves every instant by `by` seconds, to the clock of another loop."""
        self.cooldown_until += by
        self.circuit.shift(by)
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

    # -- text -------------------------------------------------------------------------------

    def describe(self, now: float) -> str:
        """The gate's state in words, with the seconds until it changes."""
        rejection = self.rejection(now)
        if rejection == "open":
            why = f"{self.circuit.reason}; last failure: {self.last_failure}"
            return f"open ({why}), half-open in {self.circuit.half_open_at - now:.1f} s"
        if rejection == "cooling down":
            return f"cooling down for {self.cooldown_until - now:.1f} s ({self.last_failure})"
        held = f"held {self.hold}, " if self.hold else ""
        return rejection or f"{held}{self.circuit.state(now)}"

    def __repr__(self) -> str:
        held = f" held={self.hold}" if self.hold else ""
        return f"<Gate {self.name} in_flight={self.in_flight}{held} {self.circuit!r}>"
