"""How long a circuit stays open, and what clocks may do to it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from multirouter.core.failures.backoff import DEFAULT_JITTER, jitter_of
from multirouter.core.settings.policies import CircuitPolicy
from tests.core.candidates import ARTICLE, GROWING, HALF_OPEN, LEASE, OPEN, Bench, relapse


def test_the_articles_breaker() -> None:
    """`failures=3, open_duration=60, growth=1` opens after 3 for exactly 60 s, each time."""
    assert relapse(Bench(ARTICLE), 5) == pytest.approx([60.0] * 6)


def test_open_time_grows_to_its_cap() -> None:
    """Case 19: without jitter 5, 10, 20, 20... s; with it each up to that share longer."""
    assert relapse(Bench(GROWING), 4) == pytest.approx([5, 10, 20, 20, 20])
    spread = relapse(Bench(replace(GROWING, jitter=0.2)), 50)
    for span, base in zip(spread, [5.0, 10.0] + [20.0] * 49, strict=True):
        assert base * (1 - 1e-9) <= span <= 1.2 * base * (1 + 1e-9)
    assert max(spread) > 23.5
    assert min(spread[2:]) < 20.5


def test_a_recovery_that_lasts_starts_over() -> None:
    """Case 19: closed for a whole window, the next opening is a first one; sooner is a relapse."""
    for healthy_for, span in ((9.999, 10.0), (10.0, 5.0)):
        bench = Bench(GROWING)
        bench.fail(0.0, 3)
        bench.pass_(5.0)
        bench.fail(5.0 + healthy_for, 3)
        assert bench.news[-1][3] == pytest.approx(span)
        assert bench.circuit.opened == (1 if span == 5.0 else 2)


def test_a_fleet_does_not_probe_in_one_tick() -> None:
    """Case 20: of 1,000 circuits opened at once, each fifth of the jitter holds a fifth."""
    resets = []
    for seed in range(1000):
        bench = Bench(replace(GROWING, jitter=0.2), seed=seed)
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
def test_who_asks_for_a_fixed_time_gets_it(policy: CircuitPolicy, jitter: float) -> None:
    """Jitter is the default, none with growth 1, and always what the policy names."""
    assert jitter_of(policy) == jitter


def test_a_long_sleep_opens_half_once() -> None:
    """Case 41: after an hour's jump there is one news of the reset, and one trial."""
    bench = Bench()
    bench.fail(0.0, 3)
    for _ in range(10):
        bench.circuit.settle(3600.0)
    assert bench.enter(3600.0).trial
    assert bench.circuit.acquire(3600.0, LEASE) is None
    assert bench.changes[1:] == [("open", "half_open", "reset")]


def test_another_loops_clock_leaves_what_is_left() -> None:
    """Shifted, what is left of open time, lease, window and recovery stays."""
    policy = CircuitPolicy(failures=3, open_duration=60, growth=1, slow_after=2.0)
    bench = Bench(policy)
    bench.fail(0.0, 3)
    bench.circuit.shift(-1000.0)
    assert bench.circuit.state(-940.001) is OPEN
    assert bench.circuit.state(-940.0) is HALF_OPEN
    permit = bench.enter(-940.0, lease=5.0)
    bench.circuit.shift(1000.0)
    assert permit.lease_until == 65.0
    bench.circuit.succeeded(permit, 61.0, 1.0)
    bench.circuit.shift(10.0)
    assert bench.circuit.closed_for(72.0) == 1.0
    Bench().circuit.shift(5.0)


def test_never_opened_is_closed_for_ever() -> None:
    """Who never opened has been closed endlessly, on any clock."""
    assert Bench().circuit.closed_for(0.0) == math.inf
