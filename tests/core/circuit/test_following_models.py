"""Circuits of models follow those of other processes."""

from __future__ import annotations

from random import Random

import pytest

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.breaker import CircuitBreaker
from multirouter.core.circuit.model_circuits import MAX_MODELS, ModelCircuits
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy
from multirouter.model import FailureKind, Verdict


def circuits() -> tuple[ModelCircuits, list[tuple[str, str, str]], ChangeCounter]:
    changes: list[tuple[str, str, str]] = []
    tripped = ChangeCounter()

    def changed(model: str, old: object, new: object, reason: str, *rest: float) -> None:
        changes.append((model, str(new), reason))

    return ModelCircuits(CircuitPolicy(), Random(1), tripped, changed), changes, tripped


def test_a_circuit_opens_for_as_long_as_the_others_and_is_prolonged() -> None:
    """With jitter, so that not all half-open at once; a shorter time changes nothing."""
    models, changes, tripped = circuits()
    models.follow_open("m", 0.0, 10.0, 2, "peers")
    assert changes == [("m", "open", "peers")]
    assert tripped.value == 1
    assert models.counts("m") == (2, 0)
    first = models.ready_in("m", 0.0)
    assert 10.0 <= first <= 11.5
    models.follow_open("m", 1.0, 5.0, 1, "peers")
    assert models.ready_in("m", 0.0) == first
    models.follow_open("m", 1.0, 30.0, 3, "peers")
    assert models.ready_in("m", 1.0) >= 30.0
    assert models.counts("m") == (3, 0)
    assert len(changes) == 1


def test_a_circuit_closes_with_the_others() -> None:
    """One that is closed, or unknown here, stays as it is."""
    models, changes, tripped = circuits()
    models.follow_closed("m", 0.0, "peers")
    models.follow_open("m", 0.0, 10.0, 1, "peers")
    models.follow_closed("m", 1.0, "peers")
    models.follow_closed("m", 2.0, "peers")
    assert changes[1:] == [("m", "closed", "peers")]
    assert tripped.value == 0
    assert models.counts("unknown") == (0, 0)


def test_a_model_that_recovered_elsewhere_no_longer_fails_here() -> None:
    """The next failure of another model is then about that model alone."""
    models, _, _ = circuits()
    failed = Verdict(FailureKind.SERVER)
    permit = models.acquire("m", 0.0, 30.0, join=False)
    assert permit is not None
    assert models.ended(permit, failed, CircuitEffect.FAILURE, 0.0) is CircuitEffect.NEUTRAL
    assert models.last_verdict is failed
    models.follow_open("m", 0.0, 10.0, 1, "peers")
    models.follow_closed("m", 1.0, "peers")
    other = models.acquire("n", 2.0, 30.0, join=False)
    assert other is not None
    assert models.ended(other, failed, CircuitEffect.FAILURE, 2.0) is CircuitEffect.NEUTRAL


def test_only_what_may_be_about_the_model_counts_there() -> None:
    """A failure that changes no circuit, and a certain one that trips, are the provider's."""
    models, changes, _ = circuits()
    for verdict, effect in (
        (Verdict(FailureKind.CREDENTIALS), CircuitEffect.TRIP),
        (Verdict(FailureKind.CREDENTIALS, certain=False), CircuitEffect.NEUTRAL),
    ):
        permit = models.acquire("m", 0.0, 30.0, join=False)
        assert permit is not None
        assert models.ended(permit, verdict, effect, 0.0) is effect
    assert models.last_verdict is None
    assert (changes, models.ready_in("m", 0.0) if changes else 0.0) == ([], 0.0)


def test_a_forbidden_model_stays_open_as_long_as_a_provider_would() -> None:
    """The kind of the failure is the reason, and the open duration is that of a trip."""
    models, changes, _ = circuits()
    permit = models.acquire("m", 0.0, 30.0, join=False)
    assert permit is not None
    forbidden = Verdict(FailureKind.CREDENTIALS, certain=False)
    models.ended(permit, forbidden, CircuitEffect.TRIP, 0.0)
    assert changes == [("m", "open", "credentials")]
    assert models.ready_in("m", 0.0) == CircuitPolicy().exhausted_duration
    assert models.ready_in("m", CircuitPolicy().exhausted_duration) == 0.0


def test_a_circuit_that_half_opens_now_is_handed_over_for_no_time() -> None:
    """The next attempt at the model is its trial, at once."""
    models, _, _ = circuits()
    own = CircuitBreaker(CircuitPolicy(), Random(1), lambda *_: None)
    own.restore_open(100.0, "failures", 10.0, 1)
    assert models.take_over("m", own, 111.0)
    assert models.ready_in("m", 111.0) == 0.0
    trial = models.acquire("m", 111.0, 30.0, join=False)
    assert trial is not None
    assert trial.permit is not None
    assert models.acquire("m", 111.0, 30.0, join=False) is None
    assert models.ready_in("m", 111.0) == 0.0


def test_slow_answers_count_at_the_model() -> None:
    """By the time that the attempt took."""
    policy = CircuitPolicy(slow_after=1.0, slow_rate=1.0, minimum_calls=1)
    models = ModelCircuits(policy, Random(1), ChangeCounter(), lambda *_: None)
    models.follow_open("m", 0.0, 10.0, 1, "peers")
    trial = models.acquire("m", 20.0, 30.0, join=False)
    assert trial is not None
    models.succeeded(trial, 25.0, 5.0)
    assert models.is_open("m", 25.0)


def test_the_circuit_of_the_first_model_goes_on_as_the_providers() -> None:
    """With its reason, the rest of its time and its openings."""
    models, changes, _ = circuits()
    own = CircuitBreaker(CircuitPolicy(), Random(1), lambda *_: None)
    own.restore_open(100.0, "failure_rate", 10.0, 3)
    assert models.ready_in("m", 104.0) == 0.0
    assert models.take_over("m", own, 104.0)
    assert changes == [("m", "open", "failure_rate")]
    assert models.ready_in("m", 104.0) == pytest.approx(6.0)
    assert models.counts("m") == (3, 0)
    failed = Verdict(FailureKind.SERVER)
    permit = models.acquire("n", 105.0, 30.0, join=False)
    assert permit is not None
    assert models.ended(permit, failed, CircuitEffect.FAILURE, 105.0) is CircuitEffect.FAILURE


def test_no_more_circuits_than_fit_are_followed() -> None:
    """When all are open, a further model has none."""
    models, _, tripped = circuits()
    for number in range(MAX_MODELS + 1):
        models.follow_open(f"m{number}", 0.0, 10.0, 1, "peers")
    assert tripped.value == MAX_MODELS
    assert models.ready_in("m0", 0.0) == pytest.approx(10.5, abs=1.0)
    assert models.counts(f"m{MAX_MODELS}") == (0, 0)


def test_a_trial_is_postponed_only_where_a_circuit_is_open() -> None:
    """A model without a circuit, or with a later time, stays as it is."""
    models, changes, _ = circuits()
    models.postpone_trial("unknown", 50.0)
    assert models.counts("unknown") == (0, 0)
    models.follow_open("m", 0.0, 10.0, 1, "peers")
    models.postpone_trial("m", 50.0)
    assert models.ready_in("m", 0.0) == 50.0
    models.postpone_trial("m", 20.0)
    assert models.ready_in("m", 0.0) == 50.0
    assert len(changes) == 1
