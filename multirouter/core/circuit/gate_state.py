"""State of one provider's gate as it is read: whether an attempt may start, why not, and when."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from multirouter.core.circuit.states import CircuitState

if TYPE_CHECKING:
    from multirouter.core.change_counter import ChangeCounter
    from multirouter.core.circuit.breaker import CircuitBreaker
    from multirouter.core.circuit.model_circuits import ModelCircuits
    from multirouter.core.cost.account import Account
    from multirouter.core.events import HoldName
    from multirouter.core.limits.model_limits import ModelLimits
    from multirouter.core.limits.rate_limits import Limits


class GateState:
    """Circuit, cooldown, limits, budgets and hold of one provider; nothing here changes them.

    Attributes:
        name: the provider's name.
        account: its budgets, or None.
        circuit: its circuit breaker.
        in_flight: attempts under way.
        cooldown_until: loop time at which the cooldown after a 429, or after a failure with a
            Retry-After, ends.
        rate_limited: whether that cooldown began with a rate limit.
        hold: the hold (manual override) in force, or None.
        models: the circuits of its models; None while calls have named one model only.
        tripped_models: number of the router's model circuits that are not closed.
        last_failure: the reason of its newest failure (`status 503`), for messages.
        removed: whether it was removed from the router; attempts in flight still end here.
    """

    __slots__ = (
        "_limits",
        "account",
        "circuit",
        "cooldown_until",
        "hold",
        "in_flight",
        "last_failure",
        "models",
        "name",
        "rate_limited",
        "removed",
        "tripped_models",
    )

    name: str
    account: Account | None
    circuit: CircuitBreaker
    in_flight: int
    cooldown_until: float
    hold: HoldName | None
    last_failure: str
    models: ModelCircuits | None
    tripped_models: ChangeCounter
    rate_limited: bool
    removed: bool
    _limits: Limits | None

    @property
    def limits(self) -> Limits | None:
        """The limits of the provider, or None."""
        return self._limits

    @property
    def learned(self) -> ModelLimits | None:
        """What its answers tell about its limits; None without `LimitPolicy.learn`."""
        return None if self._limits is None else self._limits.learned

    def rejection(self, now: float, size: int = 0, model: str = "", *, join: bool = False) -> str:
        """Why an attempt of `size` tokens cannot start at `now`, in words; empty when it can.

        Args:
            now: loop time, seconds.
            size: the request's tokens.
            model: the model, for what was learned of it.
            join: whether the attempt may join the trials of a half-open circuit.
        """
        rejection = self._rejection_without_limits(now, join=join)
        if rejection or self._limits is None:
            return rejection
        return self._limits.rejection(size, now, model)

    def _rejection_without_limits(self, now: float, *, join: bool) -> str:
        """As `rejection`, by hold, cooldown, circuit and budgets."""
        if self.hold == "open":
            return "held open"
        if self._cools_down(now):
            return "cooling down"
        if self.hold is None and not self.circuit.admits(now, join=join):
            half_open = self.circuit.state(now) is CircuitState.HALF_OPEN
            return "half_open, trial in flight" if half_open else "open"
        return "" if self.account is None else self.account.rejection()

    def admits(self, now: float, size: int = 0) -> bool:
        """Whether an attempt could start at `now`."""
        return not self.rejection(now, size)

    def is_rate_limited(self, now: float) -> bool:
        """Whether a cooldown after a rate limit is what excludes it."""
        return self.rate_limited and self._cools_down(now)

    def _cools_down(self, now: float) -> bool:
        return self.hold in {None, "closed"} and now < self.cooldown_until

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

    def trial_in_flight(self, now: float) -> bool:
        """Whether only the trial in flight of its half-open circuit excludes it."""
        return self.rejection(now).startswith("half_open")

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

    def ready_in(self, now: float, size: int = 0, model: str = "") -> float | None:
        """Seconds until time alone lets an attempt start; None when time alone does not."""
        return _longest(self._waits(now, size, model, self.circuit.ready_in(now)))

    def recheck_in(self, now: float, size: int = 0, model: str = "") -> float | None:
        """As `ready_in`, for an attempt that may join the trials of a half-open circuit."""
        return _longest(self._waits(now, size, model, self.circuit.recheck_in(now)))

    def earliest_in(self, now: float, size: int = 0, model: str = "") -> float:
        """Seconds before which no attempt can start, whatever ends meanwhile; 0 when unknown."""
        waits = self._waits(now, size, model, self.circuit.ready_in(now))
        return max(wait or 0.0 for wait in waits)

    def _waits(
        self, now: float, size: int, model: str, circuit: float | None
    ) -> list[float | None]:
        """Seconds until each condition admits an attempt, None where time alone does not."""
        waits = [
            0.0 if self._limits is None else self._limits.ready_in(size, now, model),
            0.0 if self.account is None else self.account.ready_in(),
        ]
        if self.hold in {None, "closed"}:
            waits.append(max(0.0, self.cooldown_until - now))
        if self.hold is None:
            waits.append(circuit)
        elif self.hold == "open":
            waits.append(None)
        return waits

    def describe(self, now: float, size: int = 0, model: str = "") -> str:
        """The gate's state for a request of `size` tokens, with the seconds until it changes."""
        rejection = self.rejection(now, size, model)
        if rejection == "open":
            why = f"{self.circuit.reason}; last failure: {self.last_failure}"
            return f"open ({why}), half-open in {self.circuit.half_open_at - now:.1f} s"
        if rejection == "cooling down":
            state = "cooling down" if self.rate_limited else "unavailable by its Retry-After"
            return f"{state} for {self.cooldown_until - now:.1f} s ({self.last_failure})"
        held = f"held {self.hold}, " if self.hold else ""
        return rejection or f"{held}{self.circuit.state(now)}"

    def __repr__(self) -> str:
        held = f" held={self.hold}" if self.hold else ""
        return f"<Gate {self.name} in_flight={self.in_flight}{held} {self.circuit!r}>"


def _longest(waits: list[float | None]) -> float | None:
    known = [wait for wait in waits if wait is not None]
    return max(known) if len(known) == len(waits) else None
