"""The table of a circuit's changes: whole, reachable, and nothing beside it."""

from __future__ import annotations

from multirouter.core.circuit.states import TRANSITIONS, CircuitState, Signal

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


def after(signal: Signal) -> dict[CircuitState, CircuitState | None]:
    """Where a signal leads from each state; None where it changes nothing."""
    return {state: TRANSITIONS.get((state, signal)) for state in CircuitState}


def test_what_each_signal_does_in_each_state() -> None:
    """All twenty-one pairs of state and signal, one by one."""
    assert after(Signal.TRIP) == {CLOSED: OPEN, OPEN: None, HALF_OPEN: None}
    assert after(Signal.TIME_UP) == {CLOSED: None, OPEN: HALF_OPEN, HALF_OPEN: None}
    assert after(Signal.TRIAL_FAILED) == {CLOSED: None, OPEN: None, HALF_OPEN: OPEN}
    assert after(Signal.TRIALS_PASSED) == {CLOSED: None, OPEN: None, HALF_OPEN: CLOSED}
    assert after(Signal.FORCE_OPEN) == {CLOSED: OPEN, OPEN: OPEN, HALF_OPEN: OPEN}
    assert after(Signal.FORCE_CLOSED) == {CLOSED: None, OPEN: CLOSED, HALF_OPEN: CLOSED}
    assert after(Signal.FORCE_TRIAL) == {CLOSED: None, OPEN: HALF_OPEN, HALF_OPEN: None}
    assert len(Signal) == 7


def test_no_time_and_no_luck_skips_the_trial() -> None:
    """From OPEN only a hand leads to CLOSED: everything else goes by way of HALF_OPEN."""
    into_closed = {pair for pair, new in TRANSITIONS.items() if new is CLOSED}
    assert into_closed == {
        (HALF_OPEN, Signal.TRIALS_PASSED),
        (HALF_OPEN, Signal.FORCE_CLOSED),
        (OPEN, Signal.FORCE_CLOSED),
    }


def test_the_names_are_those_of_metrics_and_logs() -> None:
    """States are told as these words, which dashboards rely on."""
    assert [str(state) for state in CircuitState] == ["closed", "open", "half_open"]
