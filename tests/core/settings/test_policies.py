"""Policies: default and range of each setting; no value in range overflows."""

from __future__ import annotations

import dataclasses
import math
from random import Random

import pytest

from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.failures.backoff import backoff_delay
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.limits.retry_budget import RetryBudget
from multirouter.core.settings import policies
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HealthPolicy,
    HedgePolicy,
    LatencyPolicy,
    LimitPolicy,
    RetryPolicy,
)
from multirouter.errors import ConfigurationError

NUMBERS = {"nan": math.nan, "inf": math.inf, "negative": -1.0, "bool": True, "text": "1"}
ALLOW_INF = {"slow_factor"}
COUNTS = [
    (RetryPolicy, "attempts", 1),
    (RetryPolicy, "budget_floor", 0),
    (CircuitPolicy, "failures", 1),
    (CircuitPolicy, "minimum_calls", 1),
    (CircuitPolicy, "half_open_max_calls", 1),
    (LatencyPolicy, "minimum_samples", 1),
    (HealthPolicy, "minimum_calls", 1),
    (LimitPolicy, "in_flight", 1),
    (HedgePolicy, "minimum_samples", 1),
    (HedgePolicy, "max_in_flight", 2),
]
RANGES = [
    # policy, setting, minimum, a value below it, maximum, a value above it
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
    (CircuitPolicy, "half_open_wait", 0.0, -1e-9, 1e9, 2e9),
    (CircuitPolicy, "ramp", 0.0, -1e-9, 1e9, 2e9),
    (LatencyPolicy, "floor", 0.0, -1e-9, 1e9, 2e9),
    (LatencyPolicy, "percentile", 1e-9, 0.0, 0.9999, 1.0),
    (LatencyPolicy, "factor", 1.0, 0.999, 1e6, 2e6),
    (LatencyPolicy, "slow_factor", 1.001, 1.0, 1e300, None),
    (LatencyPolicy, "slow_floor", 0.0, -1e-9, 1e9, 2e9),
    (LatencyPolicy, "slow_deviations", 0.0, -1e-9, 1e300, None),
    (HealthPolicy, "window", 1e-6, 0.0, 1e9, 2e9),
    (HealthPolicy, "min_success_rate", 0.0, -1e-9, 1.0, 1.001),
    (LimitPolicy, "requests_per_minute", 1e-6, 0.0, 1e12, 2e12),
    (LimitPolicy, "tokens_per_minute", 1e-6, 0.0, 1e12, 2e12),
    (LimitPolicy, "burst", 1e-9, 0.0, 1.0, 1.001),
    (HedgePolicy, "after", 0.0, -1e-9, 1e9, 2e9),
    (HedgePolicy, "percentile", 1e-9, 0.0, 0.9999, 1.0),
]


def made(policy, name: str, value):
    """The policy with one setting, and the other settings that it requires."""
    others = {"size": len} if policy is LimitPolicy else {}
    if policy is HedgePolicy and name not in {"after", "percentile"}:
        others = {"after": 1.0}
    return policy(**others, **{name: value})


def assert_invalid(policy, name: str, value) -> None:
    """Asserts that a value is invalid; the error has the setting's full name."""
    with pytest.raises(ConfigurationError) as caught:
        made(policy, name, value)
    assert caught.value.what == f"{policy.__name__}.{name}"


@pytest.mark.parametrize(
    ("policy", "name", "minimum", "below", "maximum", "above"),
    RANGES,
    ids=[f"{p.__name__}.{n}" for p, n, *_ in RANGES],
)
def test_range_of_each_setting(policy, name, minimum, below, maximum, above) -> None:
    """Case 42: both bounds are valid; values just outside, and other types, are not."""
    assert getattr(made(policy, name, minimum), name) == minimum
    assert getattr(made(policy, name, maximum), name) == maximum
    assert_invalid(policy, name, below)
    if above is not None:
        assert_invalid(policy, name, above)
    for value in NUMBERS.values():
        if not (value == math.inf and name in ALLOW_INF):
            assert_invalid(policy, name, value)


@pytest.mark.parametrize(("policy", "name", "minimum"), COUNTS, ids=str)
def test_minimum_of_each_count(policy, name, minimum) -> None:
    """The minimum is valid; one less, a float and a boolean are not."""
    assert getattr(made(policy, name, minimum), name) == minimum
    assert_invalid(policy, name, minimum - 1)
    assert_invalid(policy, name, float(minimum))
    assert_invalid(policy, name, True)


def test_every_number_is_checked() -> None:
    """No numeric setting of these policies is missing from the two tables."""
    listed = {(p, n) for p, n, *_ in RANGES} | {(p, n) for p, n, _ in COUNTS}
    policies_listed = {policy for policy, _ in listed}
    existing = {
        (policy, field.name)
        for policy in policies_listed
        for field in dataclasses.fields(policy)
        if field.type in {"int", "float", "int | None", "float | None"}
    }
    assert listed == existing


def test_defaults() -> None:
    """The defaults are the documented ones."""
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
    assert dataclasses.astuple(HealthPolicy()) == (300.0, 20, 0.8)
    assert dataclasses.astuple(LimitPolicy()) == (None, None, None, 1.0, None, False)
    assert dataclasses.astuple(HedgePolicy(after=1.0)) == (1.0, None, 20, 2)
    assert (policies.ATTEMPT_TIMEOUT, policies.CALL_TIMEOUT) == (30.0, 120.0)


def test_a_hedge_has_one_rule() -> None:
    """`after` and `percentile` exclude each other; without both the default percentile applies."""
    with pytest.raises(ConfigurationError, match="only one of `after` and `percentile`"):
        HedgePolicy(after=1.0, percentile=0.9)
    assert dataclasses.astuple(HedgePolicy()) == (None, 0.99, 20, 2)


@pytest.mark.parametrize("size", [None, 5])
def test_tokens_per_minute_requires_size(size) -> None:
    """A token limit without a callable `size` is invalid."""
    with pytest.raises(
        ConfigurationError, match=r"must be a (function that returns|plain function)"
    ):
        LimitPolicy(tokens_per_minute=10.0, size=size)


def test_policies_are_immutable() -> None:
    """A policy is validated once, and cannot be changed afterwards."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        RetryPolicy().attempts = 0  # type: ignore[misc]


@pytest.mark.parametrize("now", [0.0, 1e6, 1e9])
def test_extreme_valid_settings_do_not_overflow(now: float) -> None:
    """Case 42: with every duration at its minimum or maximum, nothing overflows."""
    for span in (1e-6, 1e9):
        policy = CircuitPolicy(
            failures=1,
            window=span,
            open_duration=span,
            max_open_duration=span,
            growth=1e6,
            slow_after=span,
        )
        circuit = CircuitBreaker(policy, Random(1), lambda *event: None)
        for _ in range(50):
            permit = circuit.acquire(now, span)
            assert permit is not None
            circuit.record_failure(permit, now)
            assert now < circuit.half_open_at < math.inf
            now = circuit.half_open_at
        budget = RetryBudget(RetryPolicy(budget_window=span))
        budget.call_started(now)
        budget.spend(now)
        assert budget.allows(now)
    for rate in (1e-6, 1e12):
        limits = Limits(LimitPolicy(requests_per_minute=rate, tokens_per_minute=rate, size=len))
        limits.acquire(10**15, now)
        assert 0.0 < (limits.ready_in(1, now) or 0.0) < math.inf
    assert backoff_delay(RetryPolicy(base=1e9, cap=1e9, factor=1e6), 10_000, 0.0, 0.999) < 1e9


def test_a_changed_retry_budget_keeps_its_counts() -> None:
    """The counts stay under another share and floor; another window starts empty."""
    budget = RetryBudget(RetryPolicy(budget=0.0, budget_floor=2))
    budget.spend(0.0)
    budget.apply(RetryPolicy(budget=0.0, budget_floor=1))
    assert not budget.allows(0.0)
    budget.apply(RetryPolicy(budget=0.0, budget_floor=1, budget_window=60.0))
    assert budget.allows(0.0)
    for _ in range(10):
        budget.call_started(0.0)
    budget.apply(RetryPolicy(budget=0.2, budget_floor=0, budget_window=60.0))
    budget.spend(0.0)
    assert budget.allows(0.0)
    budget.spend(0.0)
    assert not budget.allows(0.0)


@pytest.mark.parametrize("value", [None, 1, "no", math.nan])
@pytest.mark.parametrize(("policy", "name"), [(LatencyPolicy, "adaptive"), (LimitPolicy, "learn")])
def test_switches_are_true_or_false(policy: type, name: str, value: object) -> None:
    """What only counts as True or False, such as the text "no", is rejected."""
    with pytest.raises(
        ConfigurationError, match=f"{policy.__name__}.{name}: must be True or False"
    ):
        policy(**{name: value})
