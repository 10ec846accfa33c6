"""Holds and new policies of a circuit."""

from __future__ import annotations

import math

import pytest

from multirouter.core.circuit.states import Signal
from multirouter.core.settings.policies import CircuitPolicy
from tests.core.circuit_bench import CLOSED, GROWING, OPEN, CircuitBench, half_open, relapse

# ── holds ─────────────────────────────────────────────────────────────────────────────────────────


def test_forced_open_has_no_end() -> None:
    """Forced open there is no half-open timer; the event has an infinite open duration."""
    bench = CircuitBench()
    bench.circuit.force(Signal.FORCE_OPEN, "held", 0.0)
    assert bench.events == [(CLOSED, OPEN, "held", math.inf, 0.0)]
    assert bench.circuit.state(1e9) is OPEN


def test_force_settles_the_timer_first() -> None:
    """Forced after the open duration, the half-opening is reported before the force."""
    bench = CircuitBench()
    bench.fail(0.0, 3)
    bench.circuit.force(Signal.FORCE_CLOSED, "held", 60.0)
    assert bench.changes[1:] == [
        ("open", "half_open", "timer"),
        ("half_open", "closed", "held"),
    ]


def test_forced_opening_does_not_count_as_an_outage() -> None:
    """Released and failing, it opens for the shortest duration; during an outage growth goes on."""
    bench = CircuitBench(GROWING)
    bench.circuit.force(Signal.FORCE_OPEN, "held", 0.0)
    bench.circuit.force(Signal.FORCE_HALF_OPEN, "released", 100.0)
    bench.fail(100.0)
    assert bench.events[-1][3] == pytest.approx(5.0)
    bench = CircuitBench(GROWING)
    relapse(bench, 1)
    bench.circuit.force(Signal.FORCE_OPEN, "held", 6.0)
    bench.circuit.force(Signal.FORCE_HALF_OPEN, "released", 100.0)
    bench.fail(100.0)
    assert bench.events[-1][3] == pytest.approx(20.0)


def test_forced_opening_long_after_a_recovery_starts_over() -> None:
    """Held open long after a recovery, growth starts over too."""
    bench = CircuitBench(GROWING)
    relapse(bench, 3)
    bench.succeed(bench.circuit.half_open_at)
    bench.circuit.force(Signal.FORCE_OPEN, "held", 1e6)
    bench.circuit.force(Signal.FORCE_HALF_OPEN, "released", 1e6)
    bench.fail(1e6)
    assert bench.events[-1][3] == pytest.approx(5.0)


def test_circuit_that_cannot_trip_still_counts() -> None:
    """With `can_trip` off everything is counted and nothing opens, by no rule."""
    bench = CircuitBench(CircuitPolicy(failures=1, slow_after=1.0, minimum_calls=1))
    bench.circuit.can_trip = False
    bench.fail(0.0, 5)
    bench.succeed(0.0, 5, elapsed=9.0, slow=True)
    bench.circuit.record_trip(bench.acquire(0.0), 0.0, "exhausted", 300.0)
    assert bench.circuit.is_closed
    assert (bench.circuit.window.calls, bench.circuit.window.failures) == (11, 6)
    assert bench.events == []


def test_forgetting_clears_every_count() -> None:
    """After `forget`, no run, no rate and no slowness of before brings it nearer to opening."""
    policy = CircuitPolicy(failures=3, failure_rate=0.9, slow_after=1.0, minimum_calls=4)
    bench = CircuitBench(policy)
    bench.circuit.can_trip = False
    bench.succeed(0.0, 9, elapsed=9.0)
    bench.fail(0.0, 9)
    bench.circuit.clear_counts()
    bench.circuit.can_trip = True
    bench.fail(0.0, 2)
    bench.succeed(0.0, 1, elapsed=9.0)
    assert bench.circuit.is_closed
    assert bench.circuit.window.calls == 3
    CircuitBench().circuit.clear_counts()


def test_restore_open_continues_an_outage() -> None:
    """It opens for what is left, and growth goes on; an unclosed circuit is left alone."""
    bench = CircuitBench(GROWING)
    bench.circuit.restore_open(0.0, "shared", 3.0, openings=2)
    assert bench.events == [(CLOSED, OPEN, "shared", 3.0, 0.0)]
    assert bench.circuit.half_open_at == 3.0
    bench.circuit.restore_open(1.0, "shared", 99.0, openings=9)
    assert (bench.circuit.half_open_at, bench.circuit.consecutive_openings) == (3.0, 2)
    bench.fail(3.0)
    assert bench.events[-1][3] == pytest.approx(20.0)
    bench = CircuitBench()
    bench.circuit.restore_open(0.0, "shared", 0.0, openings=0)
    assert bench.circuit.consecutive_openings == 1
    assert bench.events[0][3] == 0.0


# ── another policy ────────────────────────────────────────────────────────────────────────────────


def test_a_new_policy_keeps_state_generation_and_timer() -> None:
    """What is open stays open for its old duration; the next opening follows the new policy."""
    bench = CircuitBench()
    bench.fail(0.0, 3)
    generation = bench.circuit.generation
    bench.circuit.apply(CircuitPolicy(failures=3, open_duration=7, growth=1))
    assert (bench.circuit.state(59.9), bench.circuit.generation) == (OPEN, generation)
    bench.fail(60.0)
    assert bench.circuit.half_open_at == 67.0


def test_counts_survive_a_policy_of_the_same_window() -> None:
    """Failures, window and slow answers stay; another window or `slow_after` starts them anew."""
    policy = CircuitPolicy(failures=3, slow_after=2.0, minimum_calls=2)
    bench = CircuitBench(policy)
    bench.fail(0.0, 2)
    bench.succeed(0.0, elapsed=9.0)
    bench.circuit.apply(CircuitPolicy(failures=4, slow_after=2.0, minimum_calls=2))
    assert bench.circuit.window.calls == 3
    bench.succeed(0.0, elapsed=9.0)
    assert bench.changes == [("closed", "open", "slow")]
    bench = CircuitBench(policy)
    bench.succeed(0.0, elapsed=9.0)
    bench.circuit.apply(CircuitPolicy(slow_after=3.0, minimum_calls=2))
    bench.succeed(0.0, elapsed=9.0)
    assert bench.circuit.is_closed
    bench.circuit.apply(CircuitPolicy(window=20.0))
    assert bench.circuit.window.calls == 0
    assert bench.circuit._slow_calls is None


def test_a_longer_window_applies_at_once() -> None:
    """Counts of another window start empty and cover the new length."""
    bench = CircuitBench()
    bench.circuit.apply(CircuitPolicy(failure_rate=0.5, minimum_calls=2, window=100.0))
    bench.fail(0.0)
    bench.fail(80.0)
    assert not bench.circuit.is_closed


def test_fewer_half_open_calls_still_admit_the_last_trial() -> None:
    """With two of three passed and now one required, one more trial decides."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=3))
    bench.succeed(now, 2)
    bench.circuit.apply(CircuitPolicy(failures=3, half_open_max_calls=1))
    bench.succeed(now)
    assert bench.circuit.is_closed


def test_repr_is_one_line() -> None:
    """`repr` has state, generation and counts; of an open circuit, its end."""
    bench = CircuitBench()
    bench.fail(0.0, 2)
    assert (
        repr(bench.circuit)
        == "<Circuit closed generation=0 consecutive_failures=2 failed 2/2 trials=0>"
    )
    bench.fail(0.0)
    assert (
        repr(bench.circuit)
        == "<Circuit open until 60.000 generation=1 consecutive_failures=0 failed 3/3 trials=0>"
    )
    bench.acquire(60.0)
    assert repr(bench.circuit).startswith("<Circuit half_open generation=2 ")
    assert repr(bench.circuit).endswith(" trials=1>")
