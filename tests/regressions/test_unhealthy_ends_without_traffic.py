"""A provider whose last attempt failed long ago no longer counts as unhealthy."""

from __future__ import annotations

from multirouter.core.settings.policies import CircuitPolicy
from tests.core.gate_bench import GateBench


def test_failures_older_than_the_window_are_ignored() -> None:
    """Failures older than the window are dropped, also without new attempts."""
    bench = GateBench(CircuitPolicy(failures=5, window=10))
    bench.fail(0.0)
    assert bench.gate.unhealthy(1.0)
    assert not bench.gate.unhealthy(3600.0)
