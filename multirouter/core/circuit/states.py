"""May I, by health: the states of a circuit breaker, and every change between them as a table.

The rules, which `TRANSITIONS` holds and nothing else:

* CLOSED lets everybody in. When the policy's rule is met it trips: OPEN.
* OPEN lets nobody in. When its time is up it is HALF_OPEN, by itself.
* HALF_OPEN lets out a few trials. One failure opens it again, enough successes close it.
* A hand can open or close it at any time.

Each change starts a new era. What ends in another era than it began in moves nothing.
"""

from __future__ import annotations

from enum import Enum, StrEnum


class CircuitState(StrEnum):
    """The three states of a circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Signal(Enum):
    """What can happen to a circuit."""

    TRIP = "trip"
    TIME_UP = "time up"
    TRIAL_FAILED = "trial failed"
    TRIALS_PASSED = "trials passed"
    FORCE_OPEN = "forced open"
    FORCE_CLOSED = "forced closed"
    FORCE_TRIAL = "released"


TRANSITIONS: dict[tuple[CircuitState, Signal], CircuitState] = {
    (CircuitState.CLOSED, Signal.TRIP): CircuitState.OPEN,
    (CircuitState.CLOSED, Signal.FORCE_OPEN): CircuitState.OPEN,
    (CircuitState.OPEN, Signal.TIME_UP): CircuitState.HALF_OPEN,
    (CircuitState.OPEN, Signal.FORCE_OPEN): CircuitState.OPEN,
    (CircuitState.OPEN, Signal.FORCE_TRIAL): CircuitState.HALF_OPEN,
    (CircuitState.OPEN, Signal.FORCE_CLOSED): CircuitState.CLOSED,
    (CircuitState.HALF_OPEN, Signal.TRIAL_FAILED): CircuitState.OPEN,
    (CircuitState.HALF_OPEN, Signal.TRIALS_PASSED): CircuitState.CLOSED,
    (CircuitState.HALF_OPEN, Signal.FORCE_OPEN): CircuitState.OPEN,
    (CircuitState.HALF_OPEN, Signal.FORCE_CLOSED): CircuitState.CLOSED,
}
"""Every change a circuit can make; a signal without an entry changes nothing."""
