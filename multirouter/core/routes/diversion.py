"""Diversion of a route: its calls are answered by other providers than its first choice.

A sustained failover is otherwise invisible: once the circuit of the first choice is open, calls
begin at the next provider, and none of them fails over.
"""

from __future__ import annotations

MIN_CALLS = 5
"""Calls in a row that begin or end a diversion: a single failover is none."""

MIN_SECONDS = 10.0
"""Seconds that these calls span at least: at a hundred calls a second, five calls in a row say
little when every second one is diverted."""


class Diversion:
    """Whether a route's calls are answered by other providers than its first choice.

    Attributes:
        active: whether they are.
        since: loop time of the first diverted call, seconds; of the latest diversion.
        pending: calls in a row that contradict `active`.
    """

    __slots__ = ("_pending_since", "active", "pending", "since")

    def __init__(self) -> None:
        self.active: bool = False
        self.since: float = 0.0
        self.pending: int = 0
        self._pending_since = 0.0

    def record(self, now: float, *, by_first_choice: bool) -> bool:
        """Counts an answered call that ended at `now` (loop time, seconds).

        Returns:
            Whether `active` changed.
        """
        if by_first_choice is not self.active:
            self.pending = 0
            return False
        self.pending += 1
        if self.pending == 1:
            self._pending_since = now
        if self.pending < MIN_CALLS or now - self._pending_since < MIN_SECONDS:
            return False
        self.active = not by_first_choice
        self.pending = 0
        if self.active:
            self.since = self._pending_since
        return True

    def shift(self, by: float) -> None:
        """Moves every instant by `by` seconds, to the clock of another event loop."""
        self.since += by
        self._pending_since += by
