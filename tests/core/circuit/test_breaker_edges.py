"""Edge cases of a circuit: streams that pass a trial, durations from a trial's start, slow rate."""

from __future__ import annotations

from dataclasses import replace

from multirouter.core.settings.policies import CircuitPolicy
from tests.core.circuit_bench import (
    ARTICLE,
    CLOSED,
    GROWING,
    HALF_OPEN,
    OPEN,
    CircuitBench,
    half_open,
    relapse,
)

SLOW = CircuitPolicy(failures=99, slow_after=1.0, slow_rate=0.5, minimum_calls=4)


def test_as_many_streams_close_a_circuit_as_trials_do() -> None:
    """With three trials the third stream that delivers closes it, not the second."""
    bench, now = half_open(replace(ARTICLE, half_open_max_calls=3))
    streams = [bench.acquire(now) for _ in range(3)]
    for stream in streams[:2]:
        bench.circuit.pass_trial(stream, now)
    assert bench.circuit.state(now) is HALF_OPEN
    bench.circuit.pass_trial(streams[2], now)
    assert bench.circuit.state(now) is CLOSED


def test_half_opening_is_reported_with_its_instant() -> None:
    """The event has the instant at which the timer ran."""
    bench = CircuitBench()
    bench.fail(0.0, 3)
    bench.circuit.settle(61.0)
    assert bench.events[-1] == (OPEN, HALF_OPEN, "timer", 0.0, 61.0)


def test_slow_after_of_a_new_policy_applies() -> None:
    """A circuit without `slow_after` trips by it once a policy sets it."""
    bench = CircuitBench(replace(SLOW, slow_after=None))
    bench.succeed(0.0, 4, elapsed=5.0)
    bench.circuit.apply(SLOW)
    bench.succeed(0.0, 4, elapsed=5.0)
    assert bench.changes == [("closed", "open", "slow")]


def test_slow_rate_is_a_share_of_all_answers() -> None:
    """One slow answer of four is a quarter, which is less than a half; two are half."""
    bench = CircuitBench(SLOW)
    bench.succeed(0.0, 1, elapsed=5.0)
    bench.succeed(0.0, 3)
    assert bench.changes == []
    bench.succeed(0.0, 2, elapsed=5.0)
    assert bench.changes == [("closed", "open", "slow")]


def seconds_open_after_trial(took: float, shifted: float = 0.0) -> float:
    """Seconds until half-open after a trial of that duration, on a clock that was shifted."""
    bench = CircuitBench(GROWING)
    relapse(bench, 1)
    start = bench.circuit.half_open_at
    trial = bench.acquire(start, lease=1000.0)
    bench.circuit.shift(shifted)
    end = start + took + shifted
    bench.circuit.record_failure(trial, end)
    return bench.circuit.half_open_at - end


def test_open_duration_counts_from_the_trials_start() -> None:
    """Twenty seconds count from the trial's start, but at least five remain."""
    assert seconds_open_after_trial(took=0.0) == 20.0
    assert seconds_open_after_trial(took=3.0) == 17.0
    assert seconds_open_after_trial(took=60.0) == 5.0


def test_the_start_of_a_trial_shifts_with_the_clock() -> None:
    """On another loop's clock, the open duration after a trial is the same."""
    assert seconds_open_after_trial(took=3.0, shifted=1000.0) == 17.0
    assert seconds_open_after_trial(took=3.0, shifted=-10.0) == 17.0
