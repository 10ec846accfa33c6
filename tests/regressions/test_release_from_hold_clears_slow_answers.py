"""Slow answers while the circuit is held closed do not trip it after the release."""

from __future__ import annotations

from multirouter.core.settings.policies import CircuitPolicy
from tests.core.gate_bench import GateBench


def test_a_release_clears_the_window() -> None:
    """Twenty slow answers while held closed, and one after the release: it stays closed."""
    bench = GateBench(CircuitPolicy(slow_after=1.0))
    bench.set_hold("closed")
    for _ in range(20):
        bench.gate.release_answered(bench.acquire(0.0), 0.0, 9.0)
    bench.set_hold(None)
    bench.gate.release_answered(bench.acquire(0.0), 0.0, 9.0)
    assert bench.changes == []
