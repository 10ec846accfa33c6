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


class State(StrEnum):
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


TRANSITIONS: dict[tuple[State, Signal], State] = {
    (State.CLOSED, Signal.TRIP): State.OPEN,
    (State.CLOSED, Signal.FORCE_OPEN): State.OPEN,
    (State.OPEN, Signal.TIME_UP): State.HALF_OPEN,
    (State.OPEN, Signal.FORCE_OPEN): State.OPEN,
    (State.OPEN, Signal.FORCE_TRIAL): State.HALF_OPEN,
    (State.OPEN, Signal.FORCE_CLOSED): State.CLOSED,
    (State.HALF_OPEN, Signal.TRIAL_FAILED): State.OPEN,
    (State.HALF_OPEN, Signal.TRIALS_PASSED): State.CLOSED,
    (State.HALF_OPEN, Signal.FORCE_OPEN): State.OPEN,
    (State.HALF_OPEN, Signal.FORCE_CLOSED): State.CLOSED,
}
"""Every change a circuit can make; a signal without an entry changes nothing."""
