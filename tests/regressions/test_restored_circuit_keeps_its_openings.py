"""An open circuit restored from another process continues its count of openings."""

from __future__ import annotations

from tests.core.circuit_bench import GROWING, CircuitBench


def test_the_count_of_openings_continues() -> None:
    """After a third opening elsewhere, the next one here is the fourth."""
    bench = CircuitBench(GROWING)
    bench.circuit.restore_open(0.0, "shared", 3.0, openings=3)
    assert bench.circuit.consecutive_openings == 3
    bench.fail(3.0)
    assert bench.circuit.consecutive_openings == 4
