"""Which failures of one call count: its own repetitions, and failures alike everywhere, do not."""

from __future__ import annotations

import pytest

from multirouter.core.planning.evidence import MAY_BE_THE_REQUEST
from multirouter.core.routes.route import Route
from multirouter.core.settings.failure_rules import RULES, CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy, RetryPolicy
from multirouter.model import FailureKind
from tests.core.kit import World, failing, provider

CIRCUIT = CircuitPolicy(failures=3, growth=1, open_duration=5.0)
RETRY = RetryPolicy(attempts=20, budget_floor=100)


def chain(*names: str, **settings: object) -> World:
    """Providers in one chain, each retried without limit."""
    route = Route("chain", list(names), **settings)  # type: ignore[arg-type]
    return World([provider(name) for name in names], [route], circuit=CIRCUIT, retry=RETRY)


def failures(world: World) -> dict[str, int]:
    """The failures that each circuit has counted."""
    return {name: gate.circuit.window.failures for name, gate in world.states.gates.items()}


def health_failures(world: World, name: str) -> bool:
    """Whether the provider's health has counted a failure."""
    return world.member(name, "chain").health.failures > 0


def test_a_calls_own_repeated_failures_count_once() -> None:
    """One call that fails five times at its only provider is one piece of evidence, not five."""
    world = chain("a")
    for calls in (1, 2):
        plan = world.plan("chain")
        assert world.run_attempts(plan, *["server"] * 5) == ["a"] * 5
        assert failures(world) == {"a": calls}
    assert world.states.gates["a"].circuit.is_closed
    world.run_attempts(world.plan("chain"), "server")
    assert not world.states.gates["a"].circuit.is_closed


def test_a_repeated_failure_with_retry_after_still_cools_down() -> None:
    """It does not count a second time, but the provider is not attempted before the time."""
    world = chain("a")
    world.run_attempts(world.plan("chain"), "server", failing("overloaded", 9.0))
    assert failures(world) == {"a": 1}
    assert world.states.gates["a"].ready_in(world.now) == 9.0


@pytest.mark.parametrize("kind", sorted(MAY_BE_THE_REQUEST))
def test_a_request_that_fails_alike_everywhere_counts_once(kind: FailureKind) -> None:
    """The second and third provider are not blamed for what the first one did, too."""
    if RULES[kind].circuit is not CircuitEffect.FAILURE:
        pytest.skip("it is neutral by its rule")
    world = chain("a", "b", "c")
    assert world.run_attempts(world.plan("chain"), kind, kind, kind) == ["a", "b", "c"]
    assert failures(world) == {"a": 1, "b": 0, "c": 0}
    assert not health_failures(world, "b")


def test_failures_alike_count_when_another_provider_answers() -> None:
    """The answer proves that the request was not the cause: two providers fail in an outage."""
    world = chain("a", "b", "c")
    for calls in (1, 2):
        assert world.run_attempts(world.plan("chain"), "server", "server", "ok") == ["a", "b", "c"]
        assert failures(world) == {"a": calls, "b": calls, "c": 0}
        assert world.states.gates["b"].last_failure == "server"
        assert health_failures(world, "b")
    plan = world.plan("chain")
    world.run_attempts(plan, "server", "server", "ok")
    assert world.next_outcome(plan).ok
    assert world.recorder.transitions("b") == ["closed > open"]


def test_failures_of_different_kinds_all_count() -> None:
    """As soon as one provider fails in another way, those before and after it count."""
    world = chain("a", "b", "c", "d")
    world.run_attempts(world.plan("chain"), "server", "server", "timeout", "server")
    assert failures(world) == {"a": 1, "b": 1, "c": 1, "d": 1}


@pytest.mark.parametrize(
    "verdict",
    [
        failing("overloaded"),
        failing("transport", unsent=True),
        failing("server", 1.0),
    ],
)
def test_failures_that_no_request_causes_all_count(verdict: object) -> None:
    """An overload, a refused connection and a Retry-After are about the provider."""
    world = chain("a", "b", "c")
    world.run_attempts(world.plan("chain"), *[verdict] * 3)  # type: ignore[list-item]
    assert failures(world) == {"a": 1, "b": 1, "c": 1}


def test_a_trial_always_decides() -> None:
    """The trial of a half-open circuit is no evidence about the request, nor excused by it."""
    world = chain("a", "b")
    world.trip("a", "b")
    world.now += 6.0
    world.run_attempts(world.plan("chain"), "server", "server")
    assert world.recorder.transitions("b")[-1] == "half_open > open"
    assert world.recorder.transitions("a")[-1] == "half_open > open"


def test_a_withheld_failure_of_an_old_generation_does_not_count() -> None:
    """When the circuit changed meanwhile, the result came too late."""
    world = chain("a", "b", "c")
    plan = world.plan("chain")
    world.run_attempts(plan, "server", "server")
    world.trip("b")
    world.now += 6.0
    world.run_call("b", "success")
    world.run_attempts(plan, "ok")
    assert failures(world)["b"] == 0
