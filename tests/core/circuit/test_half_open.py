"""Trials of a half-open circuit: how many are admitted, and how many calls may join them."""

from __future__ import annotations

from multirouter.core.circuit.half_open import (
    JOIN_INTERVAL,
    MAX_CALLS_WITHOUT_TRIAL,
    HalfOpenTrials,
)
from multirouter.core.circuit.permits import Permit
from multirouter.core.settings.policies import CircuitPolicy
from tests.core.circuit_bench import CircuitBench

LEASE = 30.0


def in_flight(*started: float, lease: float = LEASE) -> HalfOpenTrials:
    """Trials that started at these times."""
    trials = HalfOpenTrials()
    for at in started:
        trials.start(Permit(1, at + lease, trial=True, issued_at=at), at)
    return trials


def joins(trials: HalfOpenTrials, now: float, allowed: int = 1) -> int:
    """Number of calls that may join at `now`."""
    count = 0
    while trials.admits(allowed, now, join=True):
        trials.start(Permit(1, now + LEASE, trial=True, issued_at=now), now)
        count += 1
    return count


def test_no_call_joins_at_once() -> None:
    """A burst gets the allowed trials alone, also where calls may join."""
    assert joins(in_flight(), 0.0) == 1
    assert joins(in_flight(), 0.0, allowed=3) == 3
    assert joins(in_flight(0.0), 0.999 * JOIN_INTERVAL) == 0


def test_one_call_joins_in_each_interval() -> None:
    """As long as the oldest trial has not failed, one more may join for each interval."""
    trials = in_flight(0.0)
    assert [joins(trials, number * JOIN_INTERVAL) for number in range(1, 6)] == [1] * 5
    assert joins(trials, 9.0 * JOIN_INTERVAL) == 4


def test_calls_without_another_choice_join_alone() -> None:
    """A call that another provider can serve does not join, however long the trial takes."""
    assert not in_flight(0.0).admits(1, 20.0)


def test_a_delivering_stream_lets_calls_join() -> None:
    """Each stream that delivers admits two more, so their number doubles."""
    trials = in_flight(0.0)
    counts = []
    for _ in range(4):
        for permit in trials.permits:
            permit.delivering = True
        counts.append(joins(trials, 0.1))
    assert counts == [2, 4, 8, 16]


def test_passed_trials_let_calls_join() -> None:
    """Where several trials must pass, each that did is a sign of recovery."""
    trials = in_flight(0.0, 0.0)
    trials.passed = 1
    assert not trials.admits(3, 0.5)
    assert joins(trials, 0.5, allowed=3) == 2


def test_recheck_is_the_next_interval_or_lease() -> None:
    """Time alone admits the next trial at the end of an interval, or of a lease."""
    trials = in_flight(0.0, lease=2.5)
    assert trials.recheck_in(0.25, join=True) == 0.75
    assert trials.recheck_in(0.25, join=False) == 2.25
    assert trials.recheck_in(2.25, join=True) == 0.25


def test_intervals_survive_rounding() -> None:
    """At the instant that `recheck_in` names a call may join, whatever the loop's clock."""
    for start in (0.1, 1e6 / 3, 1e9 / 7):
        trials, now = in_flight(start), start
        for _ in range(20):
            now += trials.recheck_in(now, join=True)
            assert joins(trials, now) == 1


def test_joined_trials_decide_like_the_others() -> None:
    """One success closes the circuit, one failure opens it again; the others are then late."""
    bench = CircuitBench(CircuitPolicy(failures=1, open_duration=10.0, growth=1.0))
    for succeeds in (True, False):
        bench.fail(0.0)
        first = bench.acquire(10.0)
        joined = bench.circuit.acquire(11.0, LEASE, join=True)
        assert joined is not None
        assert joined.trial
        if succeeds:
            assert bench.circuit.record_success(joined, 12.0, 1.0)
            assert bench.circuit.is_closed
            assert not bench.circuit.record_failure(first, 13.0)
            assert bench.circuit.is_closed
        else:
            assert bench.circuit.record_failure(joined, 12.0)
            assert not bench.circuit.record_success(first, 13.0, 3.0)
            assert bench.changes[-1] == ("half_open", "open", "trial_failed")


def test_the_nth_opening_takes_the_nth_call_for_its_trial() -> None:
    """The longer an outage lasts, the more calls pass before a copy of one is the trial."""
    trials = HalfOpenTrials()
    for openings in (1, 2, 5):
        trials.clear()
        due = [trials.copy_due(openings) for _ in range(openings + 1)]
        assert due == [False] * (openings - 1) + [True, True]
    trials.clear()
    due = [trials.copy_due(1000) for _ in range(MAX_CALLS_WITHOUT_TRIAL)]
    assert due == [False] * (MAX_CALLS_WITHOUT_TRIAL - 1) + [True], "a bounded number"


def test_calls_count_only_while_a_trial_is_admitted() -> None:
    """Not while the circuit is open, and not while a trial is in flight."""
    bench = CircuitBench(CircuitPolicy(failures=1, open_duration=5.0, growth=1.0))
    circuit = bench.circuit
    bench.fail(0.0)
    assert [circuit.copy_due(at) for at in (0.0, 4.9)] == [False, False]
    assert circuit.copy_due(5.0)
    trial = bench.acquire(5.0)
    assert not circuit.copy_due(5.0)
    circuit.record_failure(trial, 5.0)
    assert [circuit.copy_due(10.0), circuit.copy_due(10.0)] == [False, True]
