"""Recent success rate of a provider on a route; degraded providers are attempted last."""

from __future__ import annotations

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.rolling_window import RollingCounts
from multirouter.core.settings.policies import HealthPolicy


class HealthWindow(RollingCounts):
    """Successes and failures of one provider on one route, over the window of its policy.

    What counts as a success or failure for the circuit counts here as well, and an answer that
    `accept=` rejected counts as a failure: it says how well the provider serves this route. What
    is no sign of the provider's health (429s, invalid requests, cancelled calls) does not count.
    When a circuit closes again, the counts from before are discarded.

    Attributes:
        policy: its settings.
        degraded: whether too few of enough attempts succeeded; see `HealthPolicy`.
    """

    __slots__ = ("_generation", "_minimum_calls", "_revision", "degraded", "policy")

    def __init__(self, policy: HealthPolicy, revision: ChangeCounter) -> None:
        super().__init__(policy.window)
        self.policy: HealthPolicy = policy
        self._minimum_calls = policy.minimum_calls  # read at each answer
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
        if expired or self.degraded or calls == self._minimum_calls:
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

    def apply(self, policy: HealthPolicy) -> None:
        """Replaces the policy; a window of another length begins empty."""
        old, self.policy = self.policy, policy
        self._minimum_calls = policy.minimum_calls
        if policy.window != old.window:
            super().__init__(policy.window)
        if policy != old:
            self._update_degraded()

    def degraded_at(self, now: float, generation: int | None = None) -> bool:
        """`degraded` at `now`, without changing the window: for other threads.

        Args:
            now: loop time, seconds.
            generation: that of the provider's closed circuit, as for `refresh`; None leaves it
                out.
        """
        if generation is not None and generation != self._generation:
            return False
        return self._too_many(*self.counts_at(now))

    def answers_at(self, now: float) -> int:
        """Successes in the window at `now`, without changing it: for other threads."""
        calls, failures = self.counts_at(now)
        return calls - failures

    def changes_at(self) -> float:
        """The loop time at which time alone may end `degraded`."""
        return self.edge

    def _update_degraded(self) -> None:
        degraded = self._too_many(self.calls, self.failures)
        if degraded is not self.degraded:
            self.degraded = degraded
            self._revision.value += 1

    def _too_many(self, calls: int, failures: int) -> bool:
        policy = self.policy
        allowed = (1.0 - policy.min_success_rate) * max(calls, policy.minimum_calls)
        return failures > allowed + 1e-9
