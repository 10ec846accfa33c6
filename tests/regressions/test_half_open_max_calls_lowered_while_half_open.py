"""Lowering `half_open_max_calls` while half-open still admits a trial."""

from __future__ import annotations

from multirouter.core.settings.policies import CircuitPolicy
from tests.core.circuit_bench import half_open


def test_a_trial_is_still_admitted() -> None:
    """Two of three trials passed, one is now required: the next attempt is it."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=3))
    bench.succeed(now, 2)
    bench.circuit.apply(CircuitPolicy(failures=3, half_open_max_calls=2))
    assert bench.circuit.admits(now)
