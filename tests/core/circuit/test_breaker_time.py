"""Open durations of a circuit, and shifts of its clock."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from multirouter.core.circuit.durations import DEFAULT_JITTER, effective_jitter
from multirouter.core.settings.policies import CircuitPolicy
from tests.core.circuit_bench import ARTICLE, GROWING, HALF_OPEN, LEASE, OPEN, CircuitBench, relapse


def test_fixed_open_duration() -> None:
    """`failures=3, open_duration=60, growth=1` opens after 3 failures for 60 s, each time."""
    assert relapse(CircuitBench(ARTICLE), 5) == pytest.approx([60.0] * 6)


def test_open_duration_grows_to_its_cap() -> None:
    """Case 19: without jitter 5, 10, 20, 20... s; with it each up to that share longer."""
    assert relapse(CircuitBench(GROWING), 4) == pytest.approx([5, 10, 20, 20, 20])
    spread = relapse(CircuitBench(replace(GROWING, jitter=0.2)), 50)
    for span, base in zip(spread, [5.0, 10.0] + [20.0] * 49, strict=True):
        assert base * (1 - 1e-9) <= span <= 1.2 * base * (1 + 1e-9)
    assert max(spread) > 23.5
    assert min(spread[2:]) < 20.5


def test_growth_starts_over_after_a_lasting_recovery() -> None:
    """Case 19: closed for a whole window, the next opening is a first one."""
    for healthy_for, span in ((9.999, 10.0), (10.0, 5.0)):
        bench = CircuitBench(GROWING)
        bench.fail(0.0, 3)
        bench.succeed(5.0)
        bench.fail(5.0 + healthy_for, 3)
        assert bench.events[-1][3] == pytest.approx(span)
        assert bench.circuit.consecutive_openings == (1 if span == 5.0 else 2)


def test_jitter_spreads_half_openings() -> None:
    """Case 20: of 1,000 circuits opened at once, each fifth of the jitter holds a fifth."""
    resets = []
    for seed in range(1000):
        bench = CircuitBench(replace(GROWING, jitter=0.2), seed=seed)
        bench.fail(0.0, 3)
        resets.append(bench.circuit.half_open_at)
    fifths = [sum(int((reset - 5.0) / 0.2) == i for reset in resets) for i in range(5)]
    # n = 1,000, p = 0.2: sigma = 12.6.
    assert all(abs(fifth - 200) < 51 for fifth in fifths)


@pytest.mark.parametrize(
    ("policy", "jitter"),
    [
        (CircuitPolicy(), DEFAULT_JITTER),
        (CircuitPolicy(growth=1), 0.0),
        (CircuitPolicy(growth=1, jitter=0.5), 0.5),
        (CircuitPolicy(jitter=0.0), 0.0),
    ],
)
def test_effective_jitter(policy: CircuitPolicy, jitter: float) -> None:
    """Jitter is 10 % by default, 0 with growth 1, and otherwise what the policy sets."""
    assert effective_jitter(policy) == jitter


def test_a_long_sleep_half_opens_once() -> None:
    """Case 41: after an hour's jump there is one half-opening, and one trial."""
    bench = CircuitBench()
    bench.fail(0.0, 3)
    for _ in range(10):
        bench.circuit.settle(3600.0)
    assert bench.acquire(3600.0).trial
    assert bench.circuit.acquire(3600.0, LEASE) is None
    assert bench.changes[1:] == [("open", "half_open", "timer")]


def test_shift_keeps_remaining_durations() -> None:
    """Shifted, what is left of open duration, lease, window and recovery stays."""
    policy = CircuitPolicy(failures=3, open_duration=60, growth=1, slow_after=2.0)
    bench = CircuitBench(policy)
    bench.fail(0.0, 3)
    bench.circuit.shift(-1000.0)
    assert bench.circuit.state(-940.001) is OPEN
    assert bench.circuit.state(-940.0) is HALF_OPEN
    permit = bench.acquire(-940.0, lease=5.0)
    bench.circuit.shift(1000.0)
    assert permit.lease_until == 65.0
    bench.circuit.record_success(permit, 61.0, 1.0)
    bench.circuit.shift(10.0)
    assert bench.circuit.closed_for(72.0) == 1.0
    CircuitBench().circuit.shift(5.0)


def test_a_circuit_that_never_opened_has_been_closed_for_ever() -> None:
    """`closed_for` is infinite, on any clock."""
    assert CircuitBench().circuit.closed_for(0.0) == math.inf
