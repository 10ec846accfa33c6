"""Edges of a circuit: streams that prove it, rests counted from a trial's start, slow shares."""

from __future__ import annotations

from dataclasses import replace

from multirouter.core.settings.policies import CircuitPolicy
from tests.core.candidates import (
    ARTICLE,
    CLOSED,
    GROWING,
    HALF_OPEN,
    OPEN,
    Bench,
    half_open,
    relapse,
)

SLOW = CircuitPolicy(failures=99, slow_after=1.0, slow_rate=0.5, minimum_calls=4)


def test_as_many_streams_prove_a_circuit_as_trials_pass_it() -> None:
    """With three probes the third flowing stream closes it, not the second."""
    bench, now = half_open(replace(ARTICLE, half_open_max_calls=3))
    streams = [bench.enter(now) for _ in range(3)]
    for stream in streams[:2]:
        bench.circuit.prove(stream, now)
    assert bench.circuit.state(now) is HALF_OPEN
    bench.circuit.prove(streams[2], now)
    assert bench.circuit.state(now) is CLOSED


def test_a_reset_is_told_with_its_instant() -> None:
    """The bell's time is the time of the news."""
    bench = Bench()
    bench.fail(0.0, 3)
    bench.circuit.settle(61.0)
    assert bench.news[-1] == (OPEN, HALF_OPEN, "reset", 0.0, 61.0)


def test_a_new_mark_for_slowness_is_looked_at() -> None:
    """A circuit that knew no slowness trips by it once a policy asks for it."""
    bench = Bench(replace(SLOW, slow_after=None))
    bench.pass_(0.0, 4, elapsed=5.0)
    bench.circuit.adopt(SLOW)
    bench.pass_(0.0, 4, elapsed=5.0)
    assert bench.changes == [("closed", "open", "slow")]


def test_a_share_of_slow_answers_is_of_all_answers() -> None:
    """One slow answer of four is a quarter, which is less than a half; two are half."""
    bench = Bench(SLOW)
    bench.pass_(0.0, 1, elapsed=5.0)
    bench.pass_(0.0, 3)
    assert bench.changes == []
    bench.pass_(0.0, 2, elapsed=5.0)
    assert bench.changes == [("closed", "open", "slow")]


def reopened(took: float, moved: float = 0.0) -> float:
    """Seconds until the reset after a trial that took so long, on a clock that was moved."""
    bench = Bench(GROWING)
    relapse(bench, 1)
    start = bench.circuit.half_open_at
    trial = bench.enter(start, lease=1000.0)
    bench.circuit.shift(moved)
    end = start + took + moved
    bench.circuit.failed(trial, end)
    return bench.circuit.half_open_at - end


def test_a_trial_is_part_of_the_rest() -> None:
    """Twenty seconds count from the trial's start, but five of rest there are in any case."""
    assert reopened(took=0.0) == 20.0
    assert reopened(took=3.0) == 17.0
    assert reopened(took=60.0) == 5.0


def test_the_start_of_a_trial_moves_with_the_clock() -> None:
    """On another loop's clock, the rest after a trial is the same."""
    assert reopened(took=3.0, moved=1000.0) == 17.0
    assert reopened(took=3.0, moved=-10.0) == 17.0
