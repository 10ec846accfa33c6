"""Failures of the whole fleet count together, and an own success ends what the others reported."""

from __future__ import annotations

import pytest

from multirouter.core.circuit.fleet_failures import FleetFailures
from multirouter.core.settings.policies import CircuitPolicy
from tests.core.circuit.test_following import Bench


def failures_of(*counts: int, until: float = 2.0) -> tuple[Bench, FleetFailures]:
    bench, failures = Bench(), FleetFailures()
    for number, count in enumerate(counts):
        failures.report(bench.gate, f"p{number}", count, until)
    return bench, failures


@pytest.mark.parametrize(
    ("counts", "processes", "trips"),
    [
        ((), 4, False),
        ((1,), 4, False),  # two of three
        ((1, 1), 4, True),
        ((2,), 4, True),
        ((1, 1), 1000, False),  # a tenth of a large fleet must fail at once
        ((1,) * 98, 1000, False),
        ((1,) * 99, 1000, True),
    ],
)
def test_own_failures_and_those_of_others_count_together(
    counts: tuple[int, ...], processes: int, trips: bool
) -> None:
    """The rule is that of the circuit (three failures here); in a large fleet many must fail."""
    bench, failures = failures_of(*counts)
    assert failures.trips(bench.gate, 1.0, 0.05, processes) is trips


def test_a_report_ends() -> None:
    """After two seconds it says nothing."""
    bench, failures = failures_of(9)
    assert not failures.trips(bench.gate, 2.0, 0.05, 4)


def test_an_own_success_ends_what_was_reported_before() -> None:
    """The provider works; what is reported afterwards counts again."""
    bench, failures = failures_of(9)
    permit = bench.acquire(1.0)
    bench.gate.release_answered(permit, 1.0, 0.1)
    assert not failures.trips(bench.gate, 1.0, 0.05, 4)
    failures.report(bench.gate, "p", 2, 3.0)
    assert failures.trips(bench.gate, 1.0, 0.05, 4)


def test_the_newest_report_of_a_process_counts() -> None:
    """Its failures are not added up twice; own ones that were counted are."""
    bench, failures = failures_of(1)
    failures.report(bench.gate, "p0", 1, 2.0)
    assert not failures.trips(bench.gate, 1.0, 0.05, 4)
    bench.fail(1.0)
    assert failures.trips(bench.gate, 1.0, 0.05, 4)


def test_a_circuit_without_a_rule_for_consecutive_failures() -> None:
    """Where only the failure rate opens it, the others' failures do not."""
    bench, failures = failures_of(99)
    bench.gate.circuit.apply(CircuitPolicy(failure_rate=0.5))
    assert not failures.trips(bench.gate, 1.0, 0.05, 4)
