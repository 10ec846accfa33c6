"""Every hold, from every state, to every other one and back."""

from __future__ import annotations

import itertools
import math

import pytest

from multirouter.core.circuit.states import CircuitState
from multirouter.core.events import HoldChanged, HoldName
from multirouter.core.settings.failure_rules import CircuitEffect
from tests.core.gates import BROKEN, HOLDS, LEASE, Door

EVERY: tuple[HoldName | None, ...] = (None, *HOLDS)


def brought_to(state: CircuitState) -> Door:
    """A door whose circuit is in a state at 60 s."""
    door = Door()
    if state is CircuitState.OPEN:
        door.fail(30.0, 3)
    elif state is CircuitState.HALF_OPEN:
        door.fail(0.0, 3)
    assert door.state(60.0) is state
    return door


AFTER_RELEASE = {
    ("open", CircuitState.CLOSED): CircuitState.HALF_OPEN,
    ("open", CircuitState.OPEN): CircuitState.HALF_OPEN,
    ("open", CircuitState.HALF_OPEN): CircuitState.HALF_OPEN,
    ("closed", CircuitState.CLOSED): CircuitState.CLOSED,
    ("closed", CircuitState.OPEN): CircuitState.CLOSED,
    ("closed", CircuitState.HALF_OPEN): CircuitState.CLOSED,
}
"""Where a released door stands; other holds leave the circuit to itself."""


@pytest.mark.parametrize("state", list(CircuitState), ids=str)
@pytest.mark.parametrize("hold", HOLDS)
def test_a_hold_from_each_state(hold: HoldName, state: CircuitState) -> None:
    """Case 87 (the door's half): it holds, outlives the reset time, and is released as told."""
    door = brought_to(state)
    door.hold(hold, 60.0)
    for now in (60.0, 1e6):
        assert door.gate.refuses(now) == ("held open" if hold == "open" else "")
        assert door.gate.closed(now) is (hold != "open")
        assert not door.gate.on_trial(now)
    assert door.gate.ready_in(60.0) == (None if hold == "open" else 0.0)
    door.hold(None, 61.0)
    assert door.state(61.0) is AFTER_RELEASE.get((hold, state), state)
    assert door.told(HoldChanged) == [HoldChanged("r", "a", hold), HoldChanged("r", "a", None)]


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(EVERY, 2)), ids=str)
def test_from_each_hold_to_each_other(first: HoldName | None, second: HoldName | None) -> None:
    """A second hold replaces the first as if that had been released before, news for each."""
    door = Door()
    door.hold(first)
    before = door.revision.value
    door.hold(second, 1.0)
    expected = {"open": CircuitState.OPEN, "closed": CircuitState.CLOSED}.get(
        str(second), CircuitState.HALF_OPEN if first == "open" else CircuitState.CLOSED
    )
    assert door.state(1.0) is expected
    assert door.gate.hold == second
    assert door.gate.refuses(1.0) == ("held open" if second == "open" else "")
    assert door.revision.value > before
    assert door.told(HoldChanged)[-1] == HoldChanged("r", "a", second)
    assert door.gate.circuit.trips is (second != "closed")


@pytest.mark.parametrize("hold", EVERY, ids=str)
def test_the_same_hold_twice_is_no_news(hold: HoldName | None) -> None:
    """Holding as it is held already changes nothing and is not told."""
    door = Door()
    door.hold(hold)
    told, revision, generation = (
        len(door.told(HoldChanged)),
        door.revision.value,
        door.gate.circuit.generation,
    )
    door.hold(hold, 9.0)
    assert (len(door.told(HoldChanged)), door.revision.value) == (told, revision)
    assert door.gate.circuit.generation == generation


def test_held_open_lets_nobody_in() -> None:
    """Nobody enters, no reset time is set, and late results move nothing."""
    door = Door()
    early = door.enter(0.0)
    door.hold("open", 1.0)
    assert door.gate.circuit.half_open_at == math.inf
    assert door.gate.acquire(2.0, 0, LEASE) is None
    assert door.gate.release_answered(early, 3.0, 3.0)
    assert door.state(3.0) is CircuitState.OPEN
    assert door.changes == [("closed", "open", "hold_changed")]


def test_released_from_open_it_is_tried_first() -> None:
    """One trial goes out; its success closes, its failure opens for the shortest time."""
    for passes, state in ((True, CircuitState.CLOSED), (False, CircuitState.OPEN)):
        door = Door()
        door.hold("open")
        door.hold(None, 1000.0)
        assert door.gate.on_trial(1000.0)
        if passes:
            door.pass_(1000.0)
        else:
            door.fail(1000.0)
        assert door.state(1000.0) is state


def test_held_closed_counts_and_never_trips() -> None:
    """Failures are counted and seen, cooling holds, nothing trips; released it starts clean."""
    door = Door()
    door.hold("closed")
    door.fail(0.0, 10)
    assert door.state(0.0) is CircuitState.CLOSED
    assert door.gate.circuit.window.failures == 10
    assert door.gate.ill(0.0)
    door.cool(0.0, retry_after=7.0)
    assert door.gate.refuses(6.9) == "cooling down"
    assert door.gate.ready_in(0.0) == 7.0
    door.hold(None, 7.0)
    door.fail(7.0, 2)
    assert door.state(7.0) is CircuitState.CLOSED
    door.fail(7.0)
    assert door.state(7.0) is CircuitState.OPEN


def test_disabled_teaches_the_circuit_nothing() -> None:
    """Everybody enters, cooling or not, and neither circuit nor window notices."""
    door = Door()
    door.cool(0.0, retry_after=100.0)
    door.hold("disabled")
    assert door.gate.refuses(1.0) == ""
    for _ in range(10):
        permit = door.enter(1.0)
        assert not door.end(permit, BROKEN, CircuitEffect.FAILURE, 1.0), "never late"
    assert door.gate.circuit.window.calls == 0
    assert door.changes == []
    assert door.gate.in_flight == 0


def test_metrics_only_shows_what_the_circuit_would_do() -> None:
    """Everybody enters; failures open, time half-opens, one of many is the trial and closes."""
    door = Door()
    door.hold("metrics_only")
    door.fail(0.0, 3)
    assert door.state(0.0) is CircuitState.OPEN
    door.fail(30.0, 3)
    assert door.gate.circuit.half_open_at == 60.0
    trial, beside = door.enter(60.0), door.enter(60.0)
    assert (trial.trial, beside.trial) == (True, False)
    door.gate.release_answered(beside, 61.0, 1.0)
    assert door.state(61.0) is CircuitState.HALF_OPEN
    door.gate.release_answered(trial, 61.0, 1.0)
    assert door.changes == [
        ("closed", "open", "failures"),
        ("open", "half_open", "reset"),
        ("half_open", "closed", "recovered"),
    ]
