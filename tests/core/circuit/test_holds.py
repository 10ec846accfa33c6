"""Holds of a gate: from each state, to each other hold, and released."""

from __future__ import annotations

import itertools
import math

import pytest

from multirouter.core.circuit.states import CircuitState
from multirouter.core.events import HoldChanged, HoldName
from multirouter.core.settings.failure_rules import CircuitEffect
from tests.core.gate_bench import HOLDS, LEASE, SERVER_ERROR, GateBench

EVERY: tuple[HoldName | None, ...] = (None, *HOLDS)


def bench_in(state: CircuitState) -> GateBench:
    """A bench whose circuit is in a state at 60 s."""
    bench = GateBench()
    if state is CircuitState.OPEN:
        bench.fail(30.0, 3)
    elif state is CircuitState.HALF_OPEN:
        bench.fail(0.0, 3)
    assert bench.state(60.0) is state
    return bench


AFTER_RELEASE = {
    ("open", CircuitState.CLOSED): CircuitState.HALF_OPEN,
    ("open", CircuitState.OPEN): CircuitState.HALF_OPEN,
    ("open", CircuitState.HALF_OPEN): CircuitState.HALF_OPEN,
    ("closed", CircuitState.CLOSED): CircuitState.CLOSED,
    ("closed", CircuitState.OPEN): CircuitState.CLOSED,
    ("closed", CircuitState.HALF_OPEN): CircuitState.CLOSED,
}
"""The state after a release; other holds leave the circuit as it is."""


@pytest.mark.parametrize("state", list(CircuitState), ids=str)
@pytest.mark.parametrize("hold", HOLDS)
def test_a_hold_from_each_state(hold: HoldName, state: CircuitState) -> None:
    """Case 87 (the gate's half): it holds beyond the open duration, until it is released."""
    bench = bench_in(state)
    bench.set_hold(hold, 60.0)
    for now in (60.0, 1e6):
        assert bench.gate.rejection(now) == ("held open" if hold == "open" else "")
        assert bench.gate.selectable(now) is (hold != "open")
        assert not bench.gate.half_open(now)
    assert bench.gate.ready_in(60.0) == (None if hold == "open" else 0.0)
    bench.set_hold(None, 61.0)
    assert bench.state(61.0) is AFTER_RELEASE.get((hold, state), state)
    assert bench.events_of(HoldChanged) == [
        HoldChanged("r", "a", hold),
        HoldChanged("r", "a", None),
    ]


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(EVERY, 2)), ids=str)
def test_each_hold_replaces_each_other(first: HoldName | None, second: HoldName | None) -> None:
    """A second hold acts as if the first had been released before; both are reported."""
    bench = GateBench()
    bench.set_hold(first)
    before = bench.revision.value
    bench.set_hold(second, 1.0)
    expected = {"open": CircuitState.OPEN, "closed": CircuitState.CLOSED}.get(
        str(second), CircuitState.HALF_OPEN if first == "open" else CircuitState.CLOSED
    )
    assert bench.state(1.0) is expected
    assert bench.gate.hold == second
    assert bench.gate.rejection(1.0) == ("held open" if second == "open" else "")
    assert bench.revision.value > before
    assert bench.events_of(HoldChanged)[-1] == HoldChanged("r", "a", second)
    assert bench.gate.circuit.can_trip is (second != "closed")


@pytest.mark.parametrize("hold", EVERY, ids=str)
def test_setting_the_same_hold_again_changes_nothing(hold: HoldName | None) -> None:
    """It is not reported either."""
    bench = GateBench()
    bench.set_hold(hold)
    reported, revision, generation = (
        len(bench.events_of(HoldChanged)),
        bench.revision.value,
        bench.gate.circuit.generation,
    )
    bench.set_hold(hold, 9.0)
    assert (len(bench.events_of(HoldChanged)), bench.revision.value) == (reported, revision)
    assert bench.gate.circuit.generation == generation


def test_held_open_admits_no_attempt() -> None:
    """There is no half-open timer, and late results change nothing."""
    bench = GateBench()
    early = bench.acquire(0.0)
    bench.set_hold("open", 1.0)
    assert bench.gate.circuit.half_open_at == math.inf
    assert bench.gate.acquire(2.0, 0, LEASE) is None
    assert bench.gate.release_answered(early, 3.0, 3.0)
    assert bench.state(3.0) is CircuitState.OPEN
    assert bench.changes == [("closed", "open", "held")]


def test_release_from_open_admits_one_trial() -> None:
    """Its success closes, its failure opens for the shortest duration."""
    for passes, state in ((True, CircuitState.CLOSED), (False, CircuitState.OPEN)):
        bench = GateBench()
        bench.set_hold("open")
        bench.set_hold(None, 1000.0)
        assert bench.gate.half_open(1000.0)
        if passes:
            bench.succeed(1000.0)
        else:
            bench.fail(1000.0)
        assert bench.state(1000.0) is state


def test_held_closed_counts_and_never_trips() -> None:
    """Failures count, cooldowns apply, nothing trips; a release clears the counts."""
    bench = GateBench()
    bench.set_hold("closed")
    bench.fail(0.0, 10)
    assert bench.state(0.0) is CircuitState.CLOSED
    assert bench.gate.circuit.window.failures == 10
    assert bench.gate.unhealthy(0.0)
    bench.cool_down(0.0, retry_after=7.0)
    assert bench.gate.rejection(6.9) == "cooling down"
    assert bench.gate.ready_in(0.0) == 7.0
    bench.set_hold(None, 7.0)
    bench.fail(7.0, 2)
    assert bench.state(7.0) is CircuitState.CLOSED
    bench.fail(7.0)
    assert bench.state(7.0) is CircuitState.OPEN


def test_disabled_does_not_count() -> None:
    """Every attempt is admitted, cooldown or not, and neither circuit nor window changes."""
    bench = GateBench()
    bench.cool_down(0.0, retry_after=100.0)
    bench.set_hold("disabled")
    assert bench.gate.rejection(1.0) == ""
    for _ in range(10):
        permit = bench.acquire(1.0)
        assert not bench.end(permit, SERVER_ERROR, CircuitEffect.FAILURE, 1.0), "never late"
    assert bench.gate.circuit.window.calls == 0
    assert bench.changes == []
    assert bench.gate.in_flight == 0


def test_metrics_only_shows_what_the_circuit_would_do() -> None:
    """Every attempt is admitted, while failures open it and one attempt is the trial."""
    bench = GateBench()
    bench.set_hold("metrics_only")
    bench.fail(0.0, 3)
    assert bench.state(0.0) is CircuitState.OPEN
    bench.fail(30.0, 3)
    assert bench.gate.circuit.half_open_at == 60.0
    trial, beside = bench.acquire(60.0), bench.acquire(60.0)
    assert (trial.trial, beside.trial) == (True, False)
    bench.gate.release_answered(beside, 61.0, 1.0)
    assert bench.state(61.0) is CircuitState.HALF_OPEN
    bench.gate.release_answered(trial, 61.0, 1.0)
    assert bench.changes == [
        ("closed", "open", "failures"),
        ("open", "half_open", "timer"),
        ("half_open", "closed", "recovered"),
    ]
