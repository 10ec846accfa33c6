"""Each knob's default, its range, and that nothing in range overflows."""

from __future__ import annotations

import dataclasses
import math
from random import Random

import pytest

from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.failures.backoff import rest
from multirouter.core.limits.rate_limits import Limits, RetryBudget
from multirouter.core.settings import policies
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HedgePolicy,
    LatencyPolicy,
    LimitPolicy,
    RetryPolicy,
)
from multirouter.errors import ConfigurationError

NUMBERS = {"nan": math.nan, "inf": math.inf, "negative": -1.0, "bool": True, "text": "1"}
ENDLESS = {"slow_factor"}
COUNTS = [
    (RetryPolicy, "attempts", 1),
    (RetryPolicy, "budget_floor", 0),
    (CircuitPolicy, "failures", 1),
    (CircuitPolicy, "minimum_calls", 1),
    (CircuitPolicy, "half_open_max_calls", 1),
    (LatencyPolicy, "minimum_samples", 1),
    (LimitPolicy, "in_flight", 1),
    (HedgePolicy, "minimum_samples", 1),
    (HedgePolicy, "at_most", 2),
]
RANGES = [
    # policy, setting, the least that passes, what is refused below, the most, what is beyond
    (RetryPolicy, "base", 0.0, -1e-9, 1e9, 2e9),
    (RetryPolicy, "factor", 1.0, 0.999, 1e6, 2e6),
    (RetryPolicy, "cap", 0.0, -1e-9, 1e9, 2e9),
    (RetryPolicy, "max_retry_after", 0.0, -1e-9, 1e9, 2e9),
    (RetryPolicy, "budget", 0.0, -1e-9, 1.0, 1.001),
    (RetryPolicy, "budget_window", 1e-6, 0.0, 1e9, 2e9),
    (CircuitPolicy, "failure_rate", 1e-9, 0.0, 1.0, 1.001),
    (CircuitPolicy, "slow_after", 1e-6, 0.0, 1e9, 2e9),
    (CircuitPolicy, "slow_rate", 1e-9, 0.0, 1.0, 1.001),
    (CircuitPolicy, "window", 1e-6, 0.0, 1e9, 2e9),
    (CircuitPolicy, "open_duration", 1e-6, 0.0, 1e9, 2e9),
    (CircuitPolicy, "growth", 1.0, 0.999, 1e6, 2e6),
    (CircuitPolicy, "max_open_duration", 1e-6, 0.0, 1e9, 2e9),
    (CircuitPolicy, "jitter", 0.0, -1e-9, 10.0, 10.1),
    (CircuitPolicy, "exhausted_duration", 1e-6, 0.0, 1e9, 2e9),
    (CircuitPolicy, "cooldown", 1e-6, 0.0, 1e9, 2e9),
    (CircuitPolicy, "max_cooldown", 1e-6, 0.0, 1e9, 2e9),
    (CircuitPolicy, "ramp", 0.0, -1e-9, 1e9, 2e9),
    (LatencyPolicy, "floor", 0.0, -1e-9, 1e9, 2e9),
    (LatencyPolicy, "percentile", 1e-9, 0.0, 0.9999, 1.0),
    (LatencyPolicy, "factor", 1.0, 0.999, 1e6, 2e6),
    (LatencyPolicy, "slow_factor", 1.001, 1.0, 1e300, None),
    (LatencyPolicy, "slow_floor", 0.0, -1e-9, 1e9, 2e9),
    (LatencyPolicy, "slow_deviations", 0.0, -1e-9, 1e300, None),
    (LimitPolicy, "requests_per_minute", 1e-6, 0.0, 1e12, 2e12),
    (LimitPolicy, "tokens_per_minute", 1e-6, 0.0, 1e12, 2e12),
    (LimitPolicy, "burst", 1e-9, 0.0, 1.0, 1.001),
    (HedgePolicy, "after", 0.0, -1e-9, 1e9, 2e9),
    (HedgePolicy, "percentile", 1e-9, 0.0, 0.9999, 1.0),
]


def made(policy, name: str, value):
    """The policy with one setting, and whatever else that needs."""
    others = {"size": len} if policy is LimitPolicy else {}
    if policy is HedgePolicy and name not in {"after", "percentile"}:
        others = {"after": 1.0}
    return policy(**others, **{name: value})


def refuse(policy, name: str, value) -> None:
    """Asserts that a value is refused under the setting's full name."""
    with pytest.raises(ConfigurationError) as caught:
        made(policy, name, value)
    assert caught.value.what == f"{policy.__name__}.{name}"


@pytest.mark.parametrize(
    ("policy", "name", "least", "under", "most", "beyond"),
    RANGES,
    ids=[f"{p.__name__}.{n}" for p, n, *_ in RANGES],
)
def test_a_setting_has_its_range(policy, name, least, under, most, beyond) -> None:
    """Case 42: both bounds pass, what is just outside is refused, and what is no number too."""
    assert getattr(made(policy, name, least), name) == least
    assert getattr(made(policy, name, most), name) == most
    refuse(policy, name, under)
    if beyond is not None:
        refuse(policy, name, beyond)
    for value in NUMBERS.values():
        if not (value == math.inf and name in ENDLESS):
            refuse(policy, name, value)


@pytest.mark.parametrize(("policy", "name", "least"), COUNTS, ids=str)
def test_a_count_has_its_least(policy, name, least) -> None:
    """The least passes, one less and what is not whole are refused."""
    assert getattr(made(policy, name, least), name) == least
    refuse(policy, name, least - 1)
    refuse(policy, name, float(least))
    refuse(policy, name, True)


def test_every_number_is_checked() -> None:
    """No numeric setting of any policy of this page is missing from the two tables."""
    listed = {(p, n) for p, n, *_ in RANGES} | {(p, n) for p, n, _ in COUNTS}
    shown = {policy for policy, _ in listed}
    there = {
        (policy, field.name)
        for policy in shown
        for field in dataclasses.fields(policy)
        if field.type in {"int", "float", "int | None", "float | None"}
    }
    assert listed == there


def test_the_defaults_are_the_documented_ones() -> None:
    """What users get who say nothing."""
    assert dataclasses.astuple(RetryPolicy()) == (4, 0.5, 2.0, 8.0, 30.0, 0.2, 10, 10.0)
    circuit = CircuitPolicy()
    assert (circuit.failures, circuit.failure_rate, circuit.slow_after) == (None, None, None)
    assert (circuit.slow_rate, circuit.minimum_calls, circuit.window) == (0.5, 20, 10.0)
    assert (circuit.growth, circuit.jitter, circuit.half_open_max_calls, circuit.ramp) == (
        2.0,
        None,
        1,
        0.0,
    )
    assert (circuit.exhausted_duration, circuit.cooldown, circuit.max_cooldown) == (
        300.0,
        5.0,
        600.0,
    )
    assert dataclasses.astuple(LatencyPolicy()) == (True, 2.0, 0.99, 1.5, 20, 3.0, 1.0, 5.0)
    assert dataclasses.astuple(LimitPolicy()) == (None, None, None, 1.0, None)
    assert dataclasses.astuple(HedgePolicy(after=1.0)) == (1.0, None, 20, 2)
    assert (policies.ATTEMPT_TIMEOUT, policies.CALL_TIMEOUT) == (30.0, 120.0)


def test_a_hedge_starts_by_one_rule() -> None:
    """Both of `after` and `percentile` are refused; neither is the measured default."""
    with pytest.raises(ConfigurationError, match="only one of after and percentile"):
        HedgePolicy(after=1.0, percentile=0.9)
    assert dataclasses.astuple(HedgePolicy()) == (None, 0.99, 20, 2)


@pytest.mark.parametrize("size", [None, 5])
def test_tokens_need_a_function_that_counts_them(size) -> None:
    """A limit of tokens without a callable `size` is refused where it is made."""
    with pytest.raises(ConfigurationError, match="a function of the request"):
        LimitPolicy(tokens_per_minute=10.0, size=size)


def test_policies_never_change() -> None:
    """A policy is validated once, so it cannot be changed afterwards."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        RetryPolicy().attempts = 0  # type: ignore[misc]


@pytest.mark.parametrize("now", [0.0, 1e6, 1e9])
def test_no_extreme_that_passes_overflows(now: float) -> None:
    """Case 42: with every span at its least or most, whole lives go by without an overflow."""
    for span in (1e-6, 1e9):
        policy = CircuitPolicy(
            failures=1,
            window=span,
            open_duration=span,
            max_open_duration=span,
            growth=1e6,
            slow_after=span,
        )
        circuit = CircuitBreaker(policy, Random(1), lambda *told: None)
        for _ in range(50):
            permit = circuit.acquire(now, span)
            assert permit is not None
            circuit.failed(permit, now)
            assert now < circuit.half_open_at < math.inf
            now = circuit.half_open_at
        budget = RetryBudget(RetryPolicy(budget_window=span))
        budget.call_started(now)
        budget.pay(now)
        assert budget.allows(now)
    for rate in (1e-6, 1e12):
        limits = Limits(LimitPolicy(requests_per_minute=rate, tokens_per_minute=rate, size=len))
        limits.take(10**15, now)
        assert 0.0 < (limits.ready_in(1, now) or 0.0) < math.inf
    assert rest(RetryPolicy(base=1e9, cap=1e9, factor=1e6), 10_000, 0.0, 0.999) < 1e9


def test_a_changed_budget_goes_on_counting() -> None:
    """What was counted stays under another share and floor; another window counts anew."""
    budget = RetryBudget(RetryPolicy(budget=0.0, budget_floor=2))
    budget.pay(0.0)
    budget.adopt(RetryPolicy(budget=0.0, budget_floor=1))
    assert not budget.allows(0.0)
    budget.adopt(RetryPolicy(budget=0.0, budget_floor=1, budget_window=60.0))
    assert budget.allows(0.0)
    for _ in range(10):
        budget.call_started(0.0)
    budget.adopt(RetryPolicy(budget=0.2, budget_floor=0, budget_window=60.0))
    budget.pay(0.0)
    assert budget.allows(0.0)
    budget.pay(0.0)
    assert not budget.allows(0.0)
