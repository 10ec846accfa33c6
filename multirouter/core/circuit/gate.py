"""One provider's door: circuit, cooling, limits and holds behind admits, acquire and release."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.circuit.permits import Permit
from multirouter.core.circuit.states import CircuitState, Signal
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import CircuitChanged, CooldownStarted, HoldChanged, HoldName
from multirouter.core.failures.backoff import grown
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.model import Verdict

if TYPE_CHECKING:
    from multirouter.core.cost.budgets import Account

COOLING_GROWTH = 2.0
"""Factor on the rest after each further 429 in a row that names no time."""


class Gate:
    """Decides whether one provider may be asked, and learns from how it went.

    Attributes:
        name: the provider's name.
        account: its budgets, or None.
        circuit: its circuit breaker.
        in_flight: attempts under way.
        cooldown_until: loop time until which it rests after a 429.
        hold: what a hand has set, or None.
        last_failure: the sign of its newest failure (`status 503`), for people.
        removed: whether it left the router; attempts in flight still end here.
    """

    __slots__ = (
        "_cooled_in_a_row",
        "_dispatcher",
        "_limits",
        "_plain",
        "_revision",
        "_router",
        "_suspicions",
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
        self._cooled_in_a_row = 0
        self._suspicions = 0
        self._router = router
        self._dispatcher = dispatcher
        self._revision = revision
        self._plain = limits is None

    # -- asking takes nothing ---------------------------------------------------------------

    def refuses(self, now: float, size: int = 0) -> str:
        """Why an attempt cannot start at `now`, in words; an empty string when it can."""
        if self.hold == "open":
            return "held open"
        if self.hold in {None, "closed"} and now < self.cooldown_until:
            return "cooling down"
        if self.hold is None and not self.circuit.admits(now):
            trying = self.circuit.state(now) is CircuitState.HALF_OPEN
            return "half_open, trial out" if trying else "open"
        if self.account is not None and (spent := self.account.refuses()):
            return spent
        return "" if self._limits is None else self._limits.refuses(size, now)

    def admits(self, now: float, size: int = 0) -> bool:
        """Whether an attempt could start at `now`."""
        return not self.refuses(now, size)

    def closed(self, now: float) -> bool:
        """Whether it takes part in the draw: let in by health, and not on trial."""
        if self.hold is not None:
            return self.hold != "open"
        well = now >= self.cooldown_until and self.circuit.state(now) is CircuitState.CLOSED
        return well and (self.account is None or not self.account.refuses())

    def on_trial(self, now: float) -> bool:
        """Whether its circuit is half-open and nothing else keeps it out."""
        return (
            self.hold is None
            and now >= self.cooldown_until
            and self.circuit.state(now) is CircuitState.HALF_OPEN
        )

    def ill(self, now: float) -> bool:
        """Whether more than half of its recent attempts failed, or its circuit is not closed."""
        window = self.circuit.window
        window.settle(now)
        return not self.circuit.is_closed or window.failures * 2 > window.calls

    def changes_at(self, now: float) -> float:
        """The next instant at which time alone changes whether it takes part in the draw."""
        renewed_in = 0.0 if self.account is None else self.account.ready_in()
        instants = (self.cooldown_until, self.circuit.half_open_at, now + renewed_in)
        return min((at for at in instants if at > now), default=math.inf)

    def ready_in(self, now: float, size: int = 0) -> float | None:
        """Seconds until time alone lets an attempt start; None when time alone will not."""
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
        """Lets one attempt in and gives its permit, or None.

        Args:
            now: loop time, seconds.
            size: the request's tokens, for the limits.
            lease: seconds after which a trial that has not settled is taken for lost.
            panic: whether circuit and cooling are ignored.
        """
        if self._plain and now >= self.cooldown_until:
            permit = self.circuit.shared_permit or self.circuit.acquire(
                now, lease
            )  # mostly the former
            if permit is None and panic:
                permit = self.circuit.uncounted()
        else:
            permit = self._acquire_carefully(now, size, lease, panic=panic)
        if permit is not None:
            self.in_flight += 1
        return permit

    def _acquire_carefully(
        self, now: float, size: int, lease: float, *, panic: bool
    ) -> Permit | None:
        refusal = self.refuses(now, size)
        if refusal and not (panic and refusal.startswith(("open", "half_open", "cooling down"))):
            return None
        if self._limits is not None:
            if self._limits.refuses(size, now):
                return None
            self._limits.take(size, now)
        if self.hold in {"closed", "metrics_only"} or self.hold is None:
            permit = self.circuit.acquire(now, lease)
            return permit or self.circuit.uncounted()
        return self.circuit.uncounted()

    def release_answered(
        self, permit: Permit, now: float, elapsed: float, *, slow: bool = False
    ) -> bool:
        """Takes back the permit of an attempt that brought an answer.

        Args:
            permit: the attempt's permit.
            now: loop time, seconds.
            elapsed: what it took, seconds.
            slow: whether the answer came so slowly that its provider counts as ill.

        Returns:
            Whether it came too late to count: the circuit changed meanwhile.
        """
        self.in_flight -= 1  # as in _leave; nearly every attempt goes this way
        if self._limits is not None:
            self._limits.leave()
        self._cooled_in_a_row = self._suspicions = 0
        return (
            not self.circuit.succeeded(permit, now, elapsed, slow=slow) and permit.generation >= 0
        )

    def release_unanswered(
        self, permit: Permit, verdict: Verdict, effect: CircuitEffect, now: float
    ) -> bool:
        """Takes back the permit of an attempt that brought no answer.

        Args:
            permit: the attempt's permit.
            verdict: what it counts as.
            effect: what follows from that for the circuit.
            now: loop time, seconds.

        Returns:
            Whether it came too late to count: the circuit changed meanwhile.
        """
        self._leave()
        if effect is not CircuitEffect.NEUTRAL:
            self.last_failure = verdict.reason or str(verdict.kind)
        return not self._learn(permit, verdict, effect, now) and permit.generation >= 0

    def give_back(self, permit: Permit) -> None:
        """Takes back the permit of an attempt that was never made."""
        self._leave()
        self.circuit.returned(permit)

    def _leave(self) -> None:
        self.in_flight -= 1
        if self._limits is not None:
            self._limits.leave()

    def _learn(self, permit: Permit, verdict: Verdict, effect: CircuitEffect, now: float) -> bool:
        if effect in {CircuitEffect.FAILURE, CircuitEffect.SUCCESS}:
            self._suspicions = 0
        if effect is CircuitEffect.FAILURE:
            return self.circuit.failed(permit, now)
        if effect is CircuitEffect.SUCCESS:
            # By a rule of the user's: an error that proves the provider to be alive.
            return self.circuit.succeeded(permit, now, 0.0)
        if effect is CircuitEffect.TRIP:
            return self._trip(permit, verdict, now)
        if effect is CircuitEffect.COOL:
            self._cool(verdict, now)
        return self.circuit.returned(permit)

    def _trip(self, permit: Permit, verdict: Verdict, now: float) -> bool:
        """One 401 is proof; of answers that prove little by themselves it takes two in a row."""
        self._suspicions += 1
        if not verdict.certain and self._suspicions < 2:
            return self.circuit.failed(permit, now)
        policy = self.circuit.policy
        asked = min(verdict.retry_after or 0.0, policy.max_cooldown)
        open_duration = max(policy.exhausted_duration, asked)
        return self.circuit.tripped(permit, now, str(verdict.kind), open_duration)

    def _cool(self, verdict: Verdict, now: float) -> None:
        policy = self.circuit.policy
        # Who was under way when the rest began says nothing about what came of it.
        if now >= self.cooldown_until:
            self._cooled_in_a_row += 1
        asked = verdict.retry_after or 0.0
        if asked > 0.0:
            seconds = min(asked, policy.max_cooldown)
        else:
            most = min(policy.max_open_duration, policy.max_cooldown)
            seconds = grown(policy.cooldown, COOLING_GROWTH, most, self._cooled_in_a_row)
        if now + seconds > self.cooldown_until:
            self.cooldown_until = now + seconds
            self._revision.value += 1
            self._dispatcher.post(
                "cooldown_started",
                CooldownStarted(self._router, self.name, seconds, asked > 0.0, now),
            )

    # -- hands, configuration, time -----------------------------------------------------------

    def hold_by_hand(self, hold: HoldName | None, now: float) -> None:
        """Sets or releases a hold; it outlives resets and ends only by hand."""
        was, self.hold = self.hold, hold
        if was == hold:
            return
        self._plain = self._limits is None and self.account is None and hold is None
        self.circuit.trips = hold != "closed"
        if hold == "open":
            self.circuit.force(Signal.FORCE_OPEN, "hold_changed", now)
        elif hold == "closed":
            self.circuit.force(Signal.FORCE_CLOSED, "hold_changed", now)
        elif was == "open":
            self.circuit.force(Signal.FORCE_TRIAL, "released", now)
        elif was == "closed":
            self.circuit.forget()
        self._revision.value += 1
        self._dispatcher.post("hold_changed", HoldChanged(self._router, self.name, hold))

    def adopt(self, policy: CircuitPolicy, limits: LimitPolicy | None) -> None:
        """Takes over new policies; circuit state, cooling and attempts in flight stay."""
        self.circuit.adopt(policy)
        if limits is None:
            self._limits = None
        elif self._limits is None:
            self._limits = Limits(limits)
            self._limits.in_flight = self.in_flight
        else:
            self._limits.adopt(limits)
        self._plain = self._limits is None and self.account is None and self.hold is None
        self._revision.value += 1

    def charge(self, account: Account | None) -> None:
        """Keeps everybody out while this account's budget is used up; None lifts that."""
        self.account = account
        if account is not None:
            account.revision = self._revision
        self._plain = self._limits is None and account is None and self.hold is None

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
        news = CircuitChanged(
            self._router,
            self.name,
            old.value,
            new.value,
            reason,
            self.circuit.generation,
            open_duration,
            now,
        )
        self._dispatcher.post("circuit_changed", news)

    # -- words ------------------------------------------------------------------------------

    def describe(self, now: float) -> str:
        """The door's state in words, with the seconds until it changes."""
        refusal = self.refuses(now)
        if refusal == "open":
            why = f"{self.circuit.why}, last {self.last_failure}"
            return f"open ({why}), resets in {self.circuit.half_open_at - now:.1f} s"
        if refusal == "cooling down":
            left = self.cooldown_until - now
            return f"cooling down for {left:.1f} s ({self.last_failure})"
        hold_changed = f"held {self.hold}, " if self.hold else ""
        return refusal or f"{hold_changed}{self.circuit.state(now)}"

    def __repr__(self) -> str:
        hold_changed = f" held={self.hold}" if self.hold else ""
        return f"<Gate {self.name} in_flight={self.in_flight}{hold_changed} {self.circuit!r}>"
