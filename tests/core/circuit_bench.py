"""Test bench of one circuit: methods that make whole attempts, and the transitions it reported."""

from __future__ import annotations

from random import Random

from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.circuit.permits import Permit
from multirouter.core.circuit.states import CircuitState
from multirouter.core.settings.policies import CircuitPolicy

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN

ARTICLE = CircuitPolicy(failures=3, open_duration=60, growth=1)
"""The breaker of the source article: three failures in a row, open for 60 s each time."""

GROWING = CircuitPolicy(
    failures=3, open_duration=5, growth=2, max_open_duration=20, jitter=0, window=10
)
"""Three failures in a row; open for 5, 10, 20, 20... seconds."""

LEASE = 30.0


class CircuitBench:
    """A circuit, the transitions it reported, and methods that make whole attempts.

    Attributes:
        events: for each transition the old and new state, reason, open duration and instant.
    """

    def __init__(self, policy: CircuitPolicy = ARTICLE, seed: int = 1) -> None:
        self.events: list[tuple[CircuitState, CircuitState, str, float, float]] = []
        self.circuit = CircuitBreaker(
            policy, Random(seed), lambda *event: self.events.append(event)
        )

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """The transitions without numbers: old state, new state, reason."""
        return [(str(old), str(new), reason) for old, new, reason, _, _ in self.events]

    def acquire(self, now: float, lease: float = LEASE) -> Permit:
        """A permit, which the circuit must give."""
        permit = self.circuit.acquire(now, lease)
        assert permit is not None
        return permit

    def fail(self, now: float, times: int = 1) -> None:
        """Attempts that begin and fail at `now`."""
        for _ in range(times):
            self.circuit.record_failure(self.acquire(now), now)

    def succeed(self, now: float, times: int = 1, elapsed: float = 0.1, **how: bool) -> None:
        """Attempts that begin and succeed at `now`."""
        for _ in range(times):
            self.circuit.record_success(self.acquire(now), now, elapsed, **how)

    def bring_to(self, state: CircuitState, now: float = 0.0) -> None:
        """Brings a new circuit to a state, by failures and time alone."""
        if state is not CLOSED:
            self.fail(now, 3)
        if state is HALF_OPEN:
            self.circuit.settle(self.circuit.half_open_at)
        self.events.clear()


def half_open(policy: CircuitPolicy = ARTICLE) -> tuple[CircuitBench, float]:
    """A bench whose circuit is half-open from the returned instant on."""
    bench = CircuitBench(policy)
    bench.fail(0.0, 3)
    now = bench.circuit.half_open_at
    assert bench.circuit.state(now) is HALF_OPEN
    return bench, now


def relapse(bench: CircuitBench, times: int) -> list[float]:
    """Opens the circuit and fails that many trials; returns the open durations."""
    now = 0.0
    bench.fail(now, 3)
    for _ in range(times):
        now = bench.circuit.half_open_at
        bench.fail(now)
    return [open_duration for _, new, _, open_duration, _ in bench.events if new is OPEN]
