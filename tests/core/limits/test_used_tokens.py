"""Tokens that become known with the answer, and waits of a provider's own."""

from __future__ import annotations

import pytest

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.model_circuits import ModelCircuits
from multirouter.core.failures.backoff import backoff_ceiling, backoff_delay
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy, RetryPolicy
from tests.core.kit import calm


def test_tokens_that_an_attempt_used_beyond_its_size() -> None:
    """They are taken afterwards, and the next attempt waits for them."""
    limits = Limits(LimitPolicy(tokens_per_minute=60.0, size=len))
    limits.use_tokens(0, 0.0)
    assert limits.ready_in(60, 0.0) == 0.0
    limits.use_tokens(30, 0.0)
    assert limits.ready_in(30, 0.0) == 0.0
    assert limits.ready_in(40, 0.0) == pytest.approx(10.0)
    without = Limits(LimitPolicy(in_flight=1))
    without.use_tokens(30, 0.0)
    assert without.ready_in(40, 0.0) == 0.0


def test_a_base_of_a_providers_own() -> None:
    """It takes the place of the policy's, also above its cap, and grows as the policy says."""
    policy = RetryPolicy(base=0.5, cap=8.0, factor=2.0)
    assert [backoff_ceiling(policy, number, 0.1) for number in (1, 2, 3)] == [0.1, 0.2, 0.4]
    assert [backoff_ceiling(policy, number, 3.0) for number in (1, 2, 3)] == [3.0, 6.0, 8.0]
    assert [backoff_ceiling(policy, number, 30.0) for number in (1, 2)] == [30.0, 30.0]
    assert backoff_delay(policy, 1, 2.0, 0.5, 30.0) == 16.0
    assert backoff_delay(policy, 1, 2.0, 0.5) == 2.0


def test_the_trial_of_another_process_postpones_the_own_one() -> None:
    """That of a model whose circuit is open, and never to an earlier time."""
    world = calm("a")
    models = ModelCircuits(CircuitPolicy(), world.rng, ChangeCounter(), lambda *_: None)
    models.postpone_trial("unknown", 50.0)
    assert models.circuit("unknown") is None
    models.follow_open("m", 0.0, 10.0, 1, "peers")
    circuit = models.circuit("m")
    assert circuit is not None
    models.postpone_trial("m", 50.0)
    models.postpone_trial("m", 20.0)
    assert circuit.half_open_at == 50.0
    models.follow_closed("m", 1.0, "peers")
    before = circuit.half_open_at
    models.postpone_trial("m", 90.0)
    assert circuit.half_open_at == before
