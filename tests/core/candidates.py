"""A circuit on the bench: verbs that make whole attempts, and the news that it told."""

from __future__ import annotations

from random import Random

from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.circuit.permits import Permit
from multirouter.core.circuit.states import CircuitState
from multirouter.core.settings.policies import CircuitPolicy

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN

ARTICLE = CircuitPolicy(failures=3, open_duration=60, growth=1)
"""The breaker of the source article: three in a row, sixty seconds, every time."""

GROWING = CircuitPolicy(
    failures=3, open_duration=5, growth=2, max_open_duration=20, jitter=0, window=10
)
"""Three in a row; open for 5, 10, 20, 20... seconds."""

LEASE = 30.0


class Bench:
    """A circuit with the news it told, and verbs that make whole attempts."""

    def __init__(self, policy: CircuitPolicy = ARTICLE, seed: int = 1) -> None:
        self.news: list[tuple[CircuitState, CircuitState, str, float, float]] = []
        self.circuit = CircuitBreaker(policy, Random(seed), lambda *told: self.news.append(told))

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """The news without figures: from, to, why."""
        return [(str(old), str(new), why) for old, new, why, _, _ in self.news]

    def enter(self, now: float, lease: float = LEASE) -> Permit:
        """A permit that must be there."""
        permit = self.circuit.acquire(now, lease)
        assert permit is not None
        return permit

    def fail(self, now: float, times: int = 1) -> None:
        """Attempts that begin and fail at `now`."""
        for _ in range(times):
            self.circuit.failed(self.enter(now), now)

    def pass_(self, now: float, times: int = 1, elapsed: float = 0.1, **how: bool) -> None:
        """Attempts that begin and succeed at `now`."""
        for _ in range(times):
            self.circuit.succeeded(self.enter(now), now, elapsed, **how)

    def bring_to(self, state: CircuitState, now: float = 0.0) -> None:
        """Brings a fresh circuit to a state, by failures and time alone."""
        if state is not CLOSED:
            self.fail(now, 3)
        if state is HALF_OPEN:
            self.circuit.settle(self.circuit.half_open_at)
        self.news.clear()


def half_open(policy: CircuitPolicy = ARTICLE) -> tuple[Bench, float]:
    """A bench whose circuit is half-open from the instant returned."""
    bench = Bench(policy)
    bench.fail(0.0, 3)
    now = bench.circuit.half_open_at
    assert bench.circuit.state(now) is HALF_OPEN
    return bench, now


def relapse(bench: Bench, times: int) -> list[float]:
    """Fails trial after trial; returns each opening's span."""
    now = 0.0
    bench.fail(now, 3)
    for _ in range(times):
        now = bench.circuit.half_open_at
        bench.fail(now)
    return [open_duration for _, new, _, open_duration, _ in bench.news if new is OPEN]
