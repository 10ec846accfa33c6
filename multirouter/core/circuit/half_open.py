"""Trials of a half-open circuit: which are in flight, how many passed, and how many may join."""

from __future__ import annotations

from multirouter.core.circuit.permits import Permit

JOIN_INTERVAL = 1.0
"""Seconds after which one more call may join the trials, where no other provider can serve it."""

MAX_CALLS_WITHOUT_TRIAL = 8
"""A background trial of a half-open circuit is carried by the call of this number at the latest."""

_ROUNDING = 1e-6
"""Share of an interval by which the sum of a start and whole intervals may be rounded down."""


class HalfOpenTrials:
    """Trials of one half-open circuit.

    Normally `allowed` trials are admitted. A call that no other provider can serve may join them,
    in growing number: one more for each `JOIN_INTERVAL` that the oldest trial has not failed, for
    each trial that passed, and two more for each stream that delivers. Joined calls are trials
    like the others.

    Attributes:
        permits: permits of the trials that have not been settled.
        passed: number of trials that passed.
    """

    __slots__ = ("_calls_without_trial", "passed", "permits")

    def __init__(self) -> None:
        self.permits: list[Permit] = []
        self.passed: int = 0
        self._calls_without_trial = 0

    def clear(self) -> None:
        """Forgets all trials, for a new generation."""
        self.permits = []
        self.passed = 0
        self._calls_without_trial = 0

    def copy_due(self, consecutive_openings: int) -> bool:
        """Counts a call that can carry a background trial; returns whether it should.

        After the n-th consecutive opening the n-th call carries it, at most the call
        `MAX_CALLS_WITHOUT_TRIAL`. The longer an outage has lasted, the longer it is likely to
        last, and where calls are rare each trial is a large share of the traffic. Where they are
        frequent, so few calls take no time.
        """
        self._calls_without_trial += 1
        return self._calls_without_trial >= min(consecutive_openings, MAX_CALLS_WITHOUT_TRIAL)

    def admits(self, allowed: int, now: float, *, join: bool = False) -> bool:
        """Whether one more trial may start at `now` where `allowed` trials decide."""
        alive = self.in_flight(now)
        if join and alive:
            return len(alive) < allowed + self.passed + self._joining(alive, now)
        return self.passed + len(alive) < allowed

    def recheck_in(self, now: float, *, join: bool) -> float:
        """Seconds until time alone may admit a trial: a lease ends, or an interval for joining.

        To be asked only while no trial is admitted, so that at least one is in flight.
        """
        alive = self.in_flight(now)
        instants = [permit.lease_until for permit in alive]
        if join:
            oldest = min(permit.issued_at for permit in alive)
            instants.append(oldest + (_intervals(now - oldest) + 1) * JOIN_INTERVAL)
        return min(instants) - now

    def start(self, permit: Permit, now: float) -> None:
        """Adds a trial; trials whose lease has ended count as lost."""
        self.permits = [*self.in_flight(now), permit]

    def settle(self, permit: Permit) -> bool:
        """Removes a trial; False when it was settled before, or was replaced after its lease."""
        if permit not in self.permits:
            return False
        self.permits.remove(permit)
        return True

    def shift(self, by: float) -> None:
        """Moves every instant by `by` seconds, to the clock of another loop."""
        for permit in self.permits:
            permit.lease_until += by
            permit.issued_at += by

    def in_flight(self, now: float) -> list[Permit]:
        """Permits of the trials whose lease has not ended."""
        return [permit for permit in self.permits if permit.lease_until > now]

    def _joining(self, alive: list[Permit], now: float) -> int:
        """Trials that may join those in flight, in addition to the allowed number."""
        delivering = sum(permit.delivering for permit in alive)
        return 2 * delivering + _intervals(now - min(permit.issued_at for permit in alive))


def _intervals(seconds: float) -> int:
    return int(seconds / JOIN_INTERVAL + _ROUNDING)
