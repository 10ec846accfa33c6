"""An outage that another process had seen open four times began here as a first opening."""

from __future__ import annotations

from tests.core.candidates import GROWING, Bench


def test_growth_goes_on_from_where_it_was() -> None:
    """After a third opening elsewhere, the next one here is a fourth."""
    bench = Bench(GROWING)
    bench.circuit.restore_open(0.0, "shared", 3.0, opened=3)
    assert bench.circuit.opened == 3
    bench.fail(3.0)
    assert bench.circuit.opened == 4
