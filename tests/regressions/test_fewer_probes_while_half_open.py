"""A smaller `half_open_max_calls` left a half-open circuit without a trial, and so half-open for ever."""

from __future__ import annotations

from multirouter.core.settings.policies import CircuitPolicy
from tests.core.candidates import half_open


def test_somebody_is_still_let_out() -> None:
    """Two of three trials passed, one is now asked for: the next attempt is it."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=3))
    bench.pass_(now, 2)
    bench.circuit.adopt(CircuitPolicy(failures=3, half_open_max_calls=2))
    assert bench.circuit.admits(now)
