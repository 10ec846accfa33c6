"""A gate that learns its provider's limits, and what it reports of failures."""

from __future__ import annotations

import pytest

from multirouter.core.limits.aimd import FIRST_RATE
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.model import FailureKind, Verdict
from tests.core.gate_bench import FORBIDDEN, RATE_LIMITED, SERVER_ERROR, GateBench

LEARN = LimitPolicy(learn=True)
PATIENT = CircuitPolicy(jitter=0.0, failures=10, open_duration=60, growth=1)


def test_the_learned_rate_replaces_the_cooldown_of_a_429() -> None:
    """The next attempt waits for the rate, up to one more by chance; there is no event."""
    bench = GateBench(PATIENT, LEARN)
    assert bench.cool_down(100.0) < 0.0
    wait = bench.gate.ready_in(100.0)
    assert wait is not None
    assert 1.0 / FIRST_RATE < wait < 2.0 / FIRST_RATE
    assert "learned limit" in bench.gate.describe(100.0)


def test_a_time_that_the_provider_names_holds_beside_the_learned_rate() -> None:
    """So does the cooldown of a failure that is no rate limit."""
    bench = GateBench(PATIENT, LEARN)
    assert bench.cool_down(100.0, retry_after=33.0) == 33.0
    bench = GateBench(PATIENT, LEARN)
    overloaded = Verdict(FailureKind.OVERLOADED)
    bench.end(bench.acquire(100.0), overloaded, CircuitEffect.COOLDOWN, 100.0)
    assert bench.gate.cooldown_until == 100.0 + PATIENT.cooldown
    assert bench.gate.ready_in(200.0) == 0.0


def test_failures_that_are_no_rate_limit_teach_no_rate() -> None:
    """A server that fails admits as much as before."""
    bench = GateBench(PATIENT, LEARN)
    bench.fail(100.0, 5)
    assert bench.gate.ready_in(100.0) == 0.0


def test_answers_teach_the_rate_before_the_first_429() -> None:
    """As many as there were in the last seconds, a part less."""
    bench = GateBench(PATIENT, LEARN)
    for _ in range(100):
        bench.succeed(100.0)
    bench.cool_down(100.0)
    wait = bench.gate.ready_in(100.0)
    assert wait is not None
    assert 0.0 < wait <= 2.0 / 8.0


def test_an_answer_between_uncertain_failures_clears_them() -> None:
    """Two in a row trip; a failure of another kind between them shows that the key is valid."""
    bench = GateBench(PATIENT)
    for verdict, effect in (
        (FORBIDDEN, CircuitEffect.TRIP),
        (SERVER_ERROR, CircuitEffect.FAILURE),
        (FORBIDDEN, CircuitEffect.TRIP),
    ):
        bench.end(bench.acquire(0.0), verdict, effect, 0.0)
    assert bench.changes == []
    bench.end(bench.acquire(0.0), FORBIDDEN, CircuitEffect.TRIP, 0.0)
    assert bench.changes == [("closed", "open", "credentials")]


def test_a_fleet_hears_of_a_failure_before_it_counts() -> None:
    """With the gate and the time; a 429 is no failure."""
    bench = GateBench(CircuitPolicy(failures=1))
    heard = []
    bench.gate.on_failure = lambda gate, now: heard.append((gate, now, gate.circuit.is_closed))
    bench.end(bench.acquire(5.0), RATE_LIMITED, CircuitEffect.NEUTRAL, 5.0)
    assert heard == []
    bench.fail(7.0)
    assert heard == [(bench.gate, 7.0, True)]
    assert not bench.gate.circuit.is_closed


@pytest.mark.parametrize("named", [False, True])
def test_a_failure_that_is_counted_later(*, named: bool) -> None:
    """It counts at the provider, where it is not about one of several models."""
    bench = GateBench(PATIENT)
    model = None
    if named:
        for name in ("m", "n"):
            bench.gate.see_model(name, 0.0)
        assert bench.gate.models is not None
        model = bench.gate.models.acquire("m", 0.0, 30.0, join=False)
    permit = bench.acquire(0.0)
    bench.gate.return_unused(permit)
    assert bench.gate.count_failure(permit, model, SERVER_ERROR, 0.0) is not named
    assert bench.gate.circuit.window.failures == (0 if named else 1)
    assert bench.gate.last_verdict is SERVER_ERROR
    assert bench.gate.last_failure == "status 500"
