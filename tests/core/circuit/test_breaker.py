"""Circuit breaker: each signal in each state, and the rules that trip it."""

from __future__ import annotations

import math

import pytest

from multirouter.core.circuit.states import TRANSITIONS, CircuitState, Signal
from multirouter.core.settings.policies import CircuitPolicy
from tests.core.circuit_bench import CLOSED, HALF_OPEN, LEASE, OPEN, CircuitBench

# ── transitions ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("signal", list(Signal), ids=lambda s: s.name)
@pytest.mark.parametrize("state", list(CircuitState), ids=str)
def test_every_signal_in_every_state(state: CircuitState, signal: Signal) -> None:
    """A pair of the table changes state and generation and is reported once; others do nothing."""
    bench = CircuitBench()
    bench.bring_to(state)
    circuit, now = bench.circuit, 30.0
    generation, half_open_at = circuit.generation, circuit.half_open_at
    circuit._transition(signal, "why", now)
    new = TRANSITIONS.get((state, signal))
    if new is None:
        assert (circuit._state, circuit.generation, circuit.half_open_at) == (
            state,
            generation,
            half_open_at,
        )
        assert bench.events == []
        return
    assert (circuit._state, circuit.generation, circuit.reason) == (new, generation + 1, "why")
    open_duration = 60.0 if new is OPEN else 0.0
    assert bench.events == [(state, new, "why", open_duration, now)]
    assert circuit.half_open_at == (now + 60.0 if new is OPEN else math.inf)


@pytest.mark.parametrize("state", list(CircuitState), ids=str)
def test_queries_agree_in_each_state(state: CircuitState) -> None:
    """`state`, `is_closed`, `admits` and the permit agree in each state."""
    bench = CircuitBench()
    bench.bring_to(state)
    circuit = bench.circuit
    assert circuit.state(30.0) is state
    assert circuit.is_closed is (state is CLOSED)
    assert circuit.admits(30.0) is (state is not OPEN)
    permit = circuit.acquire(30.0, LEASE)
    assert (permit is None) is (state is OPEN)
    if permit is not None:
        assert permit.trial is (state is HALF_OPEN)
        assert permit.lease_until == (30.0 + LEASE if permit.trial else math.inf)


# ── closed, and what trips it ─────────────────────────────────────────────────────────────────────


def test_success_resets_consecutive_failures() -> None:
    """Case 1: N-1 failures, a success, N-1 failures leave it closed."""
    bench = CircuitBench()
    bench.fail(0.0, 2)
    bench.succeed(0.0)
    bench.fail(0.0, 2)
    assert bench.circuit.is_closed
    assert bench.events == []


def test_failure_at_the_threshold_trips_once() -> None:
    """Case 2 (the circuit's half): the N-th failure opens and is reported once."""
    bench = CircuitBench()
    bench.fail(7.0, 2)
    assert bench.circuit.is_closed
    bench.fail(7.0)
    assert bench.events == [(CLOSED, OPEN, "failures", 60.0, 7.0)]


def test_failures_after_the_opening_change_nothing() -> None:
    """Case 3: attempts in flight when it opened neither open it again nor extend it."""
    bench = CircuitBench()
    permits = [bench.acquire(0.0) for _ in range(5)]
    bench.fail(1.0, 3)
    assert [bench.circuit.record_failure(permit, 50.0) for permit in permits] == [False] * 5
    assert bench.circuit.half_open_at == 61.0
    assert bench.changes == [("closed", "open", "failures")]


def test_failure_rate_needs_minimum_calls_and_includes_its_bound() -> None:
    """Case 4: T-1 failures stay closed; at T calls, exactly the rate opens."""
    policy = CircuitPolicy(failure_rate=0.5, minimum_calls=20)
    bench = CircuitBench(policy)
    bench.fail(0.0, 19)
    assert bench.circuit.is_closed
    bench.fail(0.0)
    assert bench.changes == [("closed", "open", "failure_rate")]

    bench = CircuitBench(policy)
    bench.succeed(0.0, 10)
    bench.fail(0.0, 9)
    assert bench.circuit.is_closed
    bench.fail(0.0)
    assert not bench.circuit.is_closed

    bench = CircuitBench(policy)
    bench.succeed(0.0, 11)
    bench.fail(0.0, 10)
    assert bench.circuit.is_closed


def test_failures_older_than_the_window_do_not_count_in_the_rate() -> None:
    """Case 5: consecutive failures count at any age."""
    bench = CircuitBench(CircuitPolicy(failure_rate=0.5, minimum_calls=4, window=10))
    bench.fail(0.0, 3)
    bench.fail(10.0)
    assert bench.circuit.is_closed
    bench = CircuitBench()
    for now in (0.0, 100.0, 200.0):
        bench.fail(now)
    assert not bench.circuit.is_closed


def test_a_policy_with_one_rule_disables_the_other() -> None:
    """A policy that sets one rule has only that one; setting both gives both."""
    runs = CircuitBench(CircuitPolicy(failures=1000))
    runs.fail(0.0, 999)
    assert runs.circuit.is_closed
    rate = CircuitBench(CircuitPolicy(failure_rate=1.0, minimum_calls=1000))
    rate.fail(0.0, 999)
    assert rate.circuit.is_closed
    both = CircuitPolicy(failures=5, failure_rate=0.5, minimum_calls=4)
    bench = CircuitBench(both)
    bench.fail(0.0, 4)
    assert bench.changes == [("closed", "open", "failure_rate")]
    bench = CircuitBench(both)
    bench.succeed(0.0, 12)
    bench.fail(0.0, 5)
    assert bench.changes == [("closed", "open", "failures")]


@pytest.mark.parametrize(
    ("calls", "failures"),
    [(0, 3), (4, 3), (12, 3), (13, 4), (27, 4), (28, 5), (93, 6), (248, 7), (249, 8), (991, 9)],
)
def test_default_consecutive_failures_grow_with_traffic(calls: int, failures: int) -> None:
    """By default max(3, log2 of the calls in the window) consecutive failures trip."""
    bench = CircuitBench(CircuitPolicy())
    bench.succeed(0.0, calls)
    bench.fail(0.0, failures - 1)
    assert bench.circuit.is_closed
    bench.fail(0.0)
    assert bench.changes == [("closed", "open", "failures")]


def test_default_rate_trips_when_half_of_twenty_failed() -> None:
    """By default half of at least 20 calls trips, though few failures are consecutive."""
    bench = CircuitBench(CircuitPolicy())
    for i in range(19):
        (bench.succeed if i % 2 else bench.fail)(0.0)
    assert bench.circuit.is_closed
    bench.fail(0.0)
    assert bench.changes == [("closed", "open", "failure_rate")]


def test_neutral_results_change_nothing() -> None:
    """Case 7: a thousand neutral results neither count nor reset consecutive failures."""
    bench = CircuitBench()
    bench.fail(0.0, 2)
    for _ in range(1000):
        assert bench.circuit.release(bench.acquire(0.0))
    assert (bench.circuit.window.calls, bench.circuit.window.failures) == (2, 2)
    bench.fail(0.0)
    assert bench.changes == [("closed", "open", "failures")]


def test_slow_answers_trip_by_their_rate() -> None:
    """Case 6 (the circuit's half): slow answers trip at the rate, inclusive, from T calls on."""
    policy = CircuitPolicy(slow_after=2.0, slow_rate=0.5, minimum_calls=4)
    bench = CircuitBench(policy)
    bench.succeed(0.0, 2, elapsed=2.0)
    bench.succeed(0.0, elapsed=2.1)
    assert bench.circuit.is_closed
    bench.succeed(0.0, elapsed=2.1)
    assert bench.changes == [("closed", "open", "slow")]
    bench = CircuitBench(policy)
    bench.succeed(0.0, 3, elapsed=9.0)
    assert bench.circuit.is_closed
    bench.succeed(11.0, elapsed=9.0)
    assert bench.circuit.is_closed, "three of the four are older than the window"


def test_answer_marked_slow_trips_at_once() -> None:
    """A provider that is slow by its own baseline trips by one answer, without `slow_after`."""
    bench = CircuitBench(CircuitPolicy())
    assert bench.circuit.record_success(bench.acquire(0.0), 0.0, 9.0, slow=True)
    assert bench.changes == [("closed", "open", "slow")]


def test_certain_failure_trips_at_once_for_its_own_duration() -> None:
    """`record_trip` opens with its reason and its duration."""
    bench = CircuitBench()
    assert bench.circuit.record_trip(bench.acquire(0.0), 5.0, "credentials", 300.0)
    assert bench.events == [(CLOSED, OPEN, "credentials", 300.0, 5.0)]
    assert bench.circuit.half_open_at == 305.0
    assert bench.circuit.window.failures == 1
