"""The states of a circuit breaker, and the table of its transitions.

`TRANSITIONS` is the single source of these rules:

* CLOSED admits every attempt. When a rule of the policy is met, it trips: OPEN.
* OPEN admits no attempt. When its open duration has passed, it is HALF_OPEN.
* HALF_OPEN admits a few trials. One failed trial opens it again, enough passed trials close it.
* A hold can open or close it at any time.
* A circuit of another process of the fleet that closes can close it, see `following.py`.

Each transition starts a new generation. The result of an attempt that began in an earlier
generation changes nothing.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Protocol


class CircuitState(StrEnum):
    """The three states of a circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Signal(Enum):
    """What can happen to a circuit."""

    TRIP = "trip"
    TIMER_ELAPSED = "timer elapsed"
    TRIAL_FAILED = "trial failed"
    TRIALS_PASSED = "trials passed"
    FORCE_OPEN = "forced open"
    FORCE_CLOSED = "forced closed"
    FORCE_HALF_OPEN = "released"
    PEER_RECOVERED = "closed elsewhere"


TRANSITIONS: dict[tuple[CircuitState, Signal], CircuitState] = {
    (CircuitState.CLOSED, Signal.TRIP): CircuitState.OPEN,
    (CircuitState.CLOSED, Signal.FORCE_OPEN): CircuitState.OPEN,
    (CircuitState.OPEN, Signal.TIMER_ELAPSED): CircuitState.HALF_OPEN,
    (CircuitState.OPEN, Signal.FORCE_OPEN): CircuitState.OPEN,
    (CircuitState.OPEN, Signal.FORCE_HALF_OPEN): CircuitState.HALF_OPEN,
    (CircuitState.OPEN, Signal.FORCE_CLOSED): CircuitState.CLOSED,
    (CircuitState.HALF_OPEN, Signal.TRIAL_FAILED): CircuitState.OPEN,
    (CircuitState.HALF_OPEN, Signal.TRIALS_PASSED): CircuitState.CLOSED,
    (CircuitState.HALF_OPEN, Signal.FORCE_OPEN): CircuitState.OPEN,
    (CircuitState.HALF_OPEN, Signal.FORCE_CLOSED): CircuitState.CLOSED,
    (CircuitState.OPEN, Signal.PEER_RECOVERED): CircuitState.CLOSED,
    (CircuitState.HALF_OPEN, Signal.PEER_RECOVERED): CircuitState.CLOSED,
}
"""Every transition of a circuit; a signal without an entry changes nothing."""


class OnTransition(Protocol):
    """Callback for each transition of a circuit, called after the state has changed."""

    def __call__(
        self, old: CircuitState, new: CircuitState, reason: str, open_duration: float, now: float
    ) -> None:
        """Receives one transition.

        Args:
            old: the state before.
            new: the state after.
            reason: why, one of the words that `CircuitChanged.reason` lists.
            open_duration: seconds until the circuit half-opens, when `new` is OPEN, else 0.
            now: loop time, seconds.
        """
