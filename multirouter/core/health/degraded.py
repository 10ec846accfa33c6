"""Recent success rate of a provider on a route; degraded providers are attempted last."""

from __future__ import annotations

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.rolling_window import RollingCounts

WINDOW = 300.0
"""Seconds that the window covers. Long enough that one call in fifteen seconds fills `MIN_CALLS`,
short enough that a degraded provider, which gets few attempts, is soon attempted normally again."""

MIN_CALLS = 20
"""Attempts that the window must hold before the success rate counts."""

MIN_SUCCESS_RATE = 0.8
"""The lowest share of successes of a provider that is not degraded.

With twenty attempts it takes five failures. A provider that fails in one of a hundred reaches
that in one of some sixty thousand such windows.
"""


class HealthWindow(RollingCounts):
    """Successes and failures of one provider on one route, over the last `WINDOW` seconds.

    What counts as a success or failure for the circuit counts here as well. What is no sign of the
    provider's health (429s, invalid requests, cancelled calls) does not count. When a circuit
    closes again, the counts from before are discarded.

    Attributes:
        degraded: whether fewer than `MIN_SUCCESS_RATE` of at least `MIN_CALLS` attempts succeeded.
    """

    __slots__ = ("_generation", "_revision", "degraded")

    def __init__(self, revision: ChangeCounter) -> None:
        super().__init__(WINDOW)
        self._revision = revision
        self._generation = 0
        self.degraded: bool = False

    @property
    def success_rate(self) -> float | None:
        """The share of successes, 0 to 1, as of the last `settle`; None without attempts."""
        return 1.0 - self.failures / self.calls if self.calls else None

    def record_success(self, now: float) -> None:
        """Counts an attempt that was answered at `now` (loop time, seconds)."""
        expired = now >= self.edge
        if expired:
            self.settle(now)
        calls = self.calls + 1
        self.calls = calls
        if expired or self.degraded or calls == MIN_CALLS:
            self._update_degraded()

    def record_failure(self, now: float) -> None:
        """Counts an attempt that failed at `now` (loop time, seconds)."""
        self.record(now, failed=True)
        self._update_degraded()

    def refresh(self, now: float, generation: int) -> None:
        """Drops what is too old, and everything when the circuit has closed again.

        Args:
            now: loop time, seconds.
            generation: the generation of the provider's closed circuit.
        """
        if generation != self._generation:
            self._generation = generation
            self.clear()
        self.settle(now)
        self._update_degraded()

    def degraded_at(self, now: float) -> bool:
        """`degraded` at `now`, without changing the window: false when all counts are too old.

        For readers of routes that get no calls, where `refresh` is not called.
        """
        return self.degraded and now < self.edge + WINDOW - self._width

    def changes_at(self) -> float:
        """The loop time at which time alone may end `degraded`."""
        return self.edge

    def _update_degraded(self) -> None:
        calls = self.calls
        degraded = calls >= MIN_CALLS and self.failures > (1.0 - MIN_SUCCESS_RATE) * calls + 1e-9
        if degraded is not self.degraded:
            self.degraded = degraded
            self._revision.value += 1
