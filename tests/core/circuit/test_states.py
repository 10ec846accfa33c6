"""The table of circuit transitions: complete, and nothing beside it."""

from __future__ import annotations

from multirouter.core.circuit.states import TRANSITIONS, CircuitState, Signal

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


def after(signal: Signal) -> dict[CircuitState, CircuitState | None]:
    """The state to which a signal leads from each state; None where it changes nothing."""
    return {state: TRANSITIONS.get((state, signal)) for state in CircuitState}


def test_each_signal_in_each_state() -> None:
    """All twenty-four pairs of state and signal, one by one."""
    assert after(Signal.TRIP) == {CLOSED: OPEN, OPEN: None, HALF_OPEN: None}
    assert after(Signal.TIMER_ELAPSED) == {CLOSED: None, OPEN: HALF_OPEN, HALF_OPEN: None}
    assert after(Signal.TRIAL_FAILED) == {CLOSED: None, OPEN: None, HALF_OPEN: OPEN}
    assert after(Signal.TRIALS_PASSED) == {CLOSED: None, OPEN: None, HALF_OPEN: CLOSED}
    assert after(Signal.FORCE_OPEN) == {CLOSED: OPEN, OPEN: OPEN, HALF_OPEN: OPEN}
    assert after(Signal.FORCE_CLOSED) == {CLOSED: None, OPEN: CLOSED, HALF_OPEN: CLOSED}
    assert after(Signal.FORCE_HALF_OPEN) == {CLOSED: None, OPEN: HALF_OPEN, HALF_OPEN: None}
    assert after(Signal.PEER_RECOVERED) == {CLOSED: None, OPEN: CLOSED, HALF_OPEN: CLOSED}
    assert len(Signal) == 8


def test_only_a_hold_or_another_process_closes_without_a_trial() -> None:
    """From OPEN only these lead to CLOSED: everything else goes through HALF_OPEN."""
    into_closed = {pair for pair, new in TRANSITIONS.items() if new is CLOSED}
    assert into_closed == {
        (HALF_OPEN, Signal.TRIALS_PASSED),
        (HALF_OPEN, Signal.FORCE_CLOSED),
        (OPEN, Signal.FORCE_CLOSED),
        (HALF_OPEN, Signal.PEER_RECOVERED),
        (OPEN, Signal.PEER_RECOVERED),
    }


def test_state_names_are_those_of_metrics_and_logs() -> None:
    """Dashboards rely on these words."""
    assert [str(state) for state in CircuitState] == ["closed", "open", "half_open"]
