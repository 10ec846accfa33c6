"""What the recent past of a provider on a route means: well, or degraded and asked after others."""

from __future__ import annotations

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.rolling_window import RollingCounts

WINDOW = 300.0
"""Seconds that health looks back. Long enough that one call in fifteen seconds fills `LEAST_CALLS`;
short enough that who was degraded, and is hence asked little, is soon among the others again."""

LEAST_CALLS = 20
"""Attempts that the window must hold before a share of them says anything."""

HEALTHY = 0.8
"""The least share of successes that still counts as well.

With twenty attempts it takes five failures; of a provider that fails in one of a hundred that
many in twenty come once in some sixty thousand such windows.
"""


class HealthWindow(RollingCounts):
    """One provider's successes and failures on one route, over the last `WINDOW` seconds.

    What the circuit takes for success or failure counts here as well; what says nothing about
    the provider (429s, faulty requests, callers who left) does not. A circuit that closes again
    has been tested: what came before it is forgotten.

    Attributes:
        degraded: whether under `HEALTHY` of at least `LEAST_CALLS` attempts succeeded.
    """

    __slots__ = ("_era", "_revision", "degraded")

    def __init__(self, revision: ChangeCounter) -> None:
        super().__init__(WINDOW)
        self._revision = revision
        self._era = 0
        self.degraded: bool = False

    @property
    def success_rate(self) -> float | None:
        """The share of successes, 0 to 1, as of the last `settle`; None without attempts."""
        return 1.0 - self.failures / self.calls if self.calls else None

    def answered(self, now: float) -> None:
        """Counts an attempt that brought an answer at `now` (loop time, seconds)."""
        aged = now >= self.edge
        if aged:
            self.settle(now)
        calls = self.calls + 1
        self.calls = calls
        if aged or self.degraded or calls == LEAST_CALLS:
            self._judge()

    def failed(self, now: float) -> None:
        """Counts an attempt that the provider failed."""
        self.record(now, failed=True)
        self._judge()

    def look(self, now: float, generation: int) -> None:
        """Brings it up to date.

        Args:
            now: loop time, seconds.
            era: that of the provider's closed circuit.
        """
        if generation != self._era:
            self._era = generation
            self.clear()
        self.settle(now)
        self._judge()

    def degraded_at(self, now: float) -> bool:
        """As `degraded`, for who only reads: false at `now` when all that it saw is too old.

        Nobody looks after a route that is no longer called.
        """
        return self.degraded and now < self.edge + WINDOW - self._width

    def changes_at(self) -> float:
        """Loop time at which time alone may end its being degraded."""
        return self.edge

    def _judge(self) -> None:
        calls = self.calls
        degraded = calls >= LEAST_CALLS and self.failures > (1.0 - HEALTHY) * calls + 1e-9
        if degraded is not self.degraded:
            self.degraded = degraded
            self._revision.value += 1
