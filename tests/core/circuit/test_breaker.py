"""One circuit, signal by signal, and what trips it."""

from __future__ import annotations

import math

import pytest

from multirouter.core.circuit.states import TRANSITIONS, CircuitState, Signal
from multirouter.core.settings.policies import CircuitPolicy
from tests.core.candidates import CLOSED, HALF_OPEN, LEASE, OPEN, Bench

# ── the table ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("signal", list(Signal), ids=lambda s: s.name)
@pytest.mark.parametrize("state", list(CircuitState), ids=str)
def test_every_signal_in_every_state(state: CircuitState, signal: Signal) -> None:
    """A pair of the table changes the state, starts an era and is told once; others do nothing."""
    bench = Bench()
    bench.bring_to(state)
    circuit, now = bench.circuit, 30.0
    generation, half_open_at = circuit.generation, circuit.half_open_at
    circuit._turn(signal, "why", now)
    new = TRANSITIONS.get((state, signal))
    if new is None:
        assert (circuit._state, circuit.generation, circuit.half_open_at) == (
            state,
            generation,
            half_open_at,
        )
        assert bench.news == []
        return
    assert (circuit._state, circuit.generation, circuit.why) == (new, generation + 1, "why")
    open_duration = 60.0 if new is OPEN else 0.0
    assert bench.news == [(state, new, "why", open_duration, now)]
    assert circuit.half_open_at == (now + 60.0 if new is OPEN else math.inf)


@pytest.mark.parametrize("state", list(CircuitState), ids=str)
def test_what_is_asked_of_a_state(state: CircuitState) -> None:
    """`state`, `is_closed`, `admits` and the permit agree in each state."""
    bench = Bench()
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


# ── closed, and what trips it ───────────────────────────────────────────────────────────────────


def test_a_success_ends_a_run_of_failures() -> None:
    """Case 1: N-1 failures, a success, N-1 failures leave it closed."""
    bench = Bench()
    bench.fail(0.0, 2)
    bench.pass_(0.0)
    bench.fail(0.0, 2)
    assert bench.circuit.is_closed
    assert bench.news == []


def test_the_failure_at_the_threshold_trips_once() -> None:
    """Case 2 (the circuit's half): the N-th failure opens, told once."""
    bench = Bench()
    bench.fail(7.0, 2)
    assert bench.circuit.is_closed
    bench.fail(7.0)
    assert bench.news == [(CLOSED, OPEN, "failures", 60.0, 7.0)]


def test_failures_after_the_opening_change_nothing() -> None:
    """Case 3: attempts in flight when it opened neither open it again nor prolong it."""
    bench = Bench()
    permits = [bench.enter(0.0) for _ in range(5)]
    bench.fail(1.0, 3)
    assert [bench.circuit.failed(permit, 50.0) for permit in permits] == [False] * 5
    assert bench.circuit.half_open_at == 61.0
    assert bench.changes == [("closed", "open", "failures")]


def test_a_rate_counts_from_the_minimum_on_and_its_bound_is_inclusive() -> None:
    """Case 4: T-1 failures stay closed; at T calls, exactly the rate opens."""
    policy = CircuitPolicy(failure_rate=0.5, minimum_calls=20)
    bench = Bench(policy)
    bench.fail(0.0, 19)
    assert bench.circuit.is_closed
    bench.fail(0.0)
    assert bench.changes == [("closed", "open", "failure_rate")]

    bench = Bench(policy)
    bench.pass_(0.0, 10)
    bench.fail(0.0, 9)
    assert bench.circuit.is_closed
    bench.fail(0.0)
    assert not bench.circuit.is_closed

    bench = Bench(policy)
    bench.pass_(0.0, 11)
    bench.fail(0.0, 10)
    assert bench.circuit.is_closed


def test_old_failures_are_outside_of_the_rate() -> None:
    """Case 5: failures older than the window count no more; a run of them does."""
    bench = Bench(CircuitPolicy(failure_rate=0.5, minimum_calls=4, window=10))
    bench.fail(0.0, 3)
    bench.fail(10.0)
    assert bench.circuit.is_closed
    bench = Bench()
    for now in (0.0, 100.0, 200.0):
        bench.fail(now)
    assert not bench.circuit.is_closed


def test_one_rule_alone_leaves_the_other_out() -> None:
    """A policy that names a rule has that one; naming both gives both."""
    runs = Bench(CircuitPolicy(failures=1000))
    runs.fail(0.0, 999)
    assert runs.circuit.is_closed
    rate = Bench(CircuitPolicy(failure_rate=1.0, minimum_calls=1000))
    rate.fail(0.0, 999)
    assert rate.circuit.is_closed
    both = CircuitPolicy(failures=5, failure_rate=0.5, minimum_calls=4)
    bench = Bench(both)
    bench.fail(0.0, 4)
    assert bench.changes == [("closed", "open", "failure_rate")]
    bench = Bench(both)
    bench.pass_(0.0, 12)
    bench.fail(0.0, 5)
    assert bench.changes == [("closed", "open", "failures")]


@pytest.mark.parametrize(
    ("calls", "failures"),
    [(0, 3), (4, 3), (12, 3), (13, 4), (27, 4), (28, 5), (93, 6), (248, 7), (249, 8), (991, 9)],
)
def test_the_default_run_grows_with_traffic(calls: int, failures: int) -> None:
    """By default a run of max(3, log2 of the calls in the window) trips, its failures included."""
    bench = Bench(CircuitPolicy())
    bench.pass_(0.0, calls)
    bench.fail(0.0, failures - 1)
    assert bench.circuit.is_closed
    bench.fail(0.0)
    assert bench.changes == [("closed", "open", "failures")]


def test_the_default_rate_trips_when_half_of_twenty_failed() -> None:
    """By default half of at least 20 calls trips though no run is long."""
    bench = Bench(CircuitPolicy())
    for i in range(19):
        (bench.pass_ if i % 2 else bench.fail)(0.0)
    assert bench.circuit.is_closed
    bench.fail(0.0)
    assert bench.changes == [("closed", "open", "failure_rate")]


def test_what_is_neutral_moves_nothing() -> None:
    """Case 7: a thousand neutral ends neither count nor end a run of failures."""
    bench = Bench()
    bench.fail(0.0, 2)
    for _ in range(1000):
        assert bench.circuit.returned(bench.enter(0.0))
    assert (bench.circuit.window.calls, bench.circuit.window.failures) == (2, 2)
    bench.fail(0.0)
    assert bench.changes == [("closed", "open", "failures")]


def test_slow_answers_trip_by_their_rate() -> None:
    """Case 6 (the circuit's half): answers over the mark trip at the rate, inclusive, from T on."""
    policy = CircuitPolicy(slow_after=2.0, slow_rate=0.5, minimum_calls=4)
    bench = Bench(policy)
    bench.pass_(0.0, 2, elapsed=2.0)
    bench.pass_(0.0, elapsed=2.1)
    assert bench.circuit.is_closed
    bench.pass_(0.0, elapsed=2.1)
    assert bench.changes == [("closed", "open", "slow")]
    bench = Bench(policy)
    bench.pass_(0.0, 3, elapsed=9.0)
    assert bench.circuit.is_closed
    bench.pass_(11.0, elapsed=9.0)
    assert bench.circuit.is_closed, "three of the four are older than the window"


def test_an_answer_known_to_be_slow_trips_at_once() -> None:
    """Who is judged slow by its own past trips by one answer, without a fixed mark."""
    bench = Bench(CircuitPolicy())
    assert bench.circuit.succeeded(bench.enter(0.0), 0.0, 9.0, slow=True)
    assert bench.changes == [("closed", "open", "slow")]


def test_a_proof_trips_at_once_and_for_its_own_time() -> None:
    """A failure that proves by itself that asking is vain opens with its reason and its span."""
    bench = Bench()
    assert bench.circuit.tripped(bench.enter(0.0), 5.0, "credentials", 300.0)
    assert bench.news == [(CLOSED, OPEN, "credentials", 300.0, 5.0)]
    assert bench.circuit.half_open_at == 305.0
    assert bench.circuit.window.failures == 1
