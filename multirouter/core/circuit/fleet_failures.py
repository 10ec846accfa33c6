"""Failures of the whole fleet: several processes that fail a little are one that fails much.

Without this, each process would need all the failures of its own rule, at the same time as the
others: calls that arrive everywhere at once are wasted everywhere.
"""

from __future__ import annotations

import math

from multirouter.core.circuit.following import FollowingGate
from multirouter.core.circuit.trip_rules import failures_needed

LASTS = 2.0
"""Seconds that a report of failing attempts counts."""

CROWD = 2.0
"""Processes that must fail at once in a large fleet, as a multiple of the share of the quorum: in
one of a thousand processes, some of the others always have a failure."""


class FleetFailures:
    """Failures of other processes at one provider since the last own success."""

    __slots__ = ("_counts", "_successes")

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, float]] = {}
        self._successes = -1

    def report(self, gate: FollowingGate, origin: str, failures: int, until: float) -> None:
        """Takes what another process says.

        Args:
            gate: that of the provider.
            origin: the process.
            failures: its consecutive failures.
            until: loop time until which that counts, seconds.
        """
        self._drop_old(gate)
        self._counts[origin] = failures, until

    def trips(self, gate: FollowingGate, now: float, share: float, processes: int) -> bool:
        """Whether an own failure, the failures of the others included, opens the circuit.

        Args:
            gate: that of the provider, before the failure is counted.
            now: loop time, seconds.
            share: that of the quorum.
            processes: connected processes.
        """
        self._drop_old(gate)
        live = [count for count, until in self._counts.values() if until > now]
        needed = failures_needed(gate.circuit.policy, gate.circuit.window)
        if not live or needed is None:
            return False
        own = gate.circuit.consecutive_failures + 1
        crowd = math.ceil(CROWD * share * processes)
        return own + sum(live) >= needed and 1 + len(live) >= min(crowd, processes)

    def _drop_old(self, gate: FollowingGate) -> None:
        """An own success shows that the provider works: failures before it say nothing more."""
        successes = gate.circuit.window.successes
        if successes != self._successes:
            self._successes = successes
            self._counts.clear()
