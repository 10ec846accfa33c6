"""What hands and new policies do to a circuit."""

from __future__ import annotations

import math

import pytest

from multirouter.core.circuit.states import Signal
from multirouter.core.settings.policies import CircuitPolicy
from tests.core.candidates import CLOSED, GROWING, OPEN, Bench, half_open, relapse

# ── hands ───────────────────────────────────────────────────────────────────────────────────────


def test_a_hand_opens_without_end() -> None:
    """Forced open there is no reset time, and the news says so by an endless span."""
    bench = Bench()
    bench.circuit.force(Signal.FORCE_OPEN, "hold_changed", 0.0)
    assert bench.news == [(CLOSED, OPEN, "hold_changed", math.inf, 0.0)]
    assert bench.circuit.state(1e9) is OPEN


def test_a_hand_first_sees_what_time_has_done() -> None:
    """Forced after the reset time, the reset is told before the force."""
    bench = Bench()
    bench.fail(0.0, 3)
    bench.circuit.force(Signal.FORCE_CLOSED, "hold_changed", 60.0)
    assert bench.changes[1:] == [
        ("open", "half_open", "reset"),
        ("half_open", "closed", "hold_changed"),
    ]


def test_a_hands_opening_is_no_outage() -> None:
    """Released and found dead, its first open time is the shortest; mid-outage it goes on."""
    bench = Bench(GROWING)
    bench.circuit.force(Signal.FORCE_OPEN, "hold_changed", 0.0)
    bench.circuit.force(Signal.FORCE_TRIAL, "released", 100.0)
    bench.fail(100.0)
    assert bench.news[-1][3] == pytest.approx(5.0)
    bench = Bench(GROWING)
    relapse(bench, 1)
    bench.circuit.force(Signal.FORCE_OPEN, "hold_changed", 6.0)
    bench.circuit.force(Signal.FORCE_TRIAL, "released", 100.0)
    bench.fail(100.0)
    assert bench.news[-1][3] == pytest.approx(20.0)


def test_an_old_outage_is_not_a_hands_concern() -> None:
    """Held open long after a recovery, growth starts over too."""
    bench = Bench(GROWING)
    relapse(bench, 3)
    bench.pass_(bench.circuit.half_open_at)
    bench.circuit.force(Signal.FORCE_OPEN, "hold_changed", 1e6)
    bench.circuit.force(Signal.FORCE_TRIAL, "released", 1e6)
    bench.fail(1e6)
    assert bench.news[-1][3] == pytest.approx(5.0)


def test_who_may_not_trip_still_counts() -> None:
    """With `trips` off everything is counted and nothing opens, by no rule."""
    bench = Bench(CircuitPolicy(failures=1, slow_after=1.0, minimum_calls=1))
    bench.circuit.trips = False
    bench.fail(0.0, 5)
    bench.pass_(0.0, 5, elapsed=9.0, slow=True)
    bench.circuit.tripped(bench.enter(0.0), 0.0, "exhausted", 300.0)
    assert bench.circuit.is_closed
    assert (bench.circuit.window.calls, bench.circuit.window.failures) == (11, 6)
    assert bench.news == []


def test_forgetting_clears_every_count() -> None:
    """After `forget`, no run, no rate and no slowness of before brings it nearer to opening."""
    policy = CircuitPolicy(failures=3, failure_rate=0.9, slow_after=1.0, minimum_calls=4)
    bench = Bench(policy)
    bench.circuit.trips = False
    bench.pass_(0.0, 9, elapsed=9.0)
    bench.fail(0.0, 9)
    bench.circuit.forget()
    bench.circuit.trips = True
    bench.fail(0.0, 2)
    bench.pass_(0.0, 1, elapsed=9.0)
    assert bench.circuit.is_closed
    assert bench.circuit.window.calls == 3
    Bench().circuit.forget()


def test_an_outage_seen_elsewhere_is_taken_over() -> None:
    """What is left of it is open, its growth goes on; an open or trying circuit is left alone."""
    bench = Bench(GROWING)
    bench.circuit.restore_open(0.0, "shared", 3.0, opened=2)
    assert bench.news == [(CLOSED, OPEN, "shared", 3.0, 0.0)]
    assert bench.circuit.half_open_at == 3.0
    bench.circuit.restore_open(1.0, "shared", 99.0, opened=9)
    assert (bench.circuit.half_open_at, bench.circuit.opened) == (3.0, 2)
    bench.fail(3.0)
    assert bench.news[-1][3] == pytest.approx(20.0)
    bench = Bench()
    bench.circuit.restore_open(0.0, "shared", 0.0, opened=0)
    assert bench.circuit.opened == 1
    assert bench.news[0][3] == 0.0


# ── another policy ──────────────────────────────────────────────────────────────────────────────


def test_a_new_policy_keeps_state_era_and_reset() -> None:
    """What is open stays open for its old time; the next opening follows the new policy."""
    bench = Bench()
    bench.fail(0.0, 3)
    generation = bench.circuit.generation
    bench.circuit.adopt(CircuitPolicy(failures=3, open_duration=7, growth=1))
    assert (bench.circuit.state(59.9), bench.circuit.generation) == (OPEN, generation)
    bench.fail(60.0)
    assert bench.circuit.half_open_at == 67.0


def test_counts_outlive_a_policy_of_the_same_window() -> None:
    """Run, window and slowness go on; another window or mark begins anew."""
    policy = CircuitPolicy(failures=3, slow_after=2.0, minimum_calls=2)
    bench = Bench(policy)
    bench.fail(0.0, 2)
    bench.pass_(0.0, elapsed=9.0)
    bench.circuit.adopt(CircuitPolicy(failures=4, slow_after=2.0, minimum_calls=2))
    assert bench.circuit.window.calls == 3
    bench.pass_(0.0, elapsed=9.0)
    assert bench.changes == [("closed", "open", "slow")]
    bench = Bench(policy)
    bench.pass_(0.0, elapsed=9.0)
    bench.circuit.adopt(CircuitPolicy(slow_after=3.0, minimum_calls=2))
    bench.pass_(0.0, elapsed=9.0)
    assert bench.circuit.is_closed
    bench.circuit.adopt(CircuitPolicy(window=20.0))
    assert bench.circuit.window.calls == 0
    assert bench.circuit._slow is None


def test_a_longer_window_is_in_force_at_once() -> None:
    """Counts of another window's length begin empty and then look back as far as it says."""
    bench = Bench()
    bench.circuit.adopt(CircuitPolicy(failure_rate=0.5, minimum_calls=2, window=100.0))
    bench.fail(0.0)
    bench.fail(80.0)
    assert not bench.circuit.is_closed


def test_fewer_probes_still_let_the_last_one_out() -> None:
    """With two of three passed and now one asked for, one more trial decides."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=3))
    bench.pass_(now, 2)
    bench.circuit.adopt(CircuitPolicy(failures=3, half_open_max_calls=1))
    bench.pass_(now)
    assert bench.circuit.is_closed


def test_the_whole_state_is_one_line() -> None:
    """`repr` tells state, era, run and counts; open, also until when."""
    bench = Bench()
    bench.fail(0.0, 2)
    assert repr(bench.circuit) == "<Circuit closed era=0 run=2 failed 2/2 trials=0>"
    bench.fail(0.0)
    assert repr(bench.circuit) == "<Circuit open until 60.000 era=1 run=0 failed 3/3 trials=0>"
    bench.enter(60.0)
    assert repr(bench.circuit).startswith("<Circuit half_open era=2 ")
    assert repr(bench.circuit).endswith(" trials=1>")
