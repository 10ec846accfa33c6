"""Circuits per model: a failing model does not take the provider's other models with it."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.circuit import model_circuits
from multirouter.core.circuit.states import CircuitState
from multirouter.core.events import ModelCircuitChanged
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.routes import model_watch
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy, RetryPolicy
from multirouter.errors import NoProviderAvailable
from multirouter.model import CallOutcome
from tests.core.kit import World, failing, provider

CIRCUIT = CircuitPolicy(failures=3, growth=1, open_duration=5.0)


def world_of(*names: str, **settings: Any) -> World:
    """Providers in one chain, each attempted once."""
    return World(
        [provider(name, **settings) for name in names],
        [Route("chain", list(names))],
        circuit=CIRCUIT,
        retry=RetryPolicy(attempts=1),
    )


def plan_for(world: World, model: str | None, **request: Any) -> Plan:
    """The plan of a call that names a model."""
    body = {**request} if model is None else {"model": model, **request}
    return world.plan("chain", request=body)


def run(world: World, model: str | None, *outcomes: Any) -> CallOutcome[Any]:
    """Runs a call that names a model through these outcomes, to its end."""
    plan = plan_for(world, model)
    world.run_attempts(plan, *outcomes)
    return world.next_outcome(plan)


def model_states(world: World, name: str = "a") -> dict[str, str]:
    """The models of a provider whose circuit is not closed, with its state."""
    models = world.states.gates[name].models
    return {} if models is None else models.states(world.now)


def test_one_model_uses_the_providers_circuit() -> None:
    """While calls name one model, or none, nothing is different."""
    for model in ("m", None):
        world = world_of("a")
        for _ in range(3):
            run(world, model, "server")
        assert world.recorder.transitions("a") == ["closed > open"]
        assert world.states.gates["a"].models is None


def test_a_failing_model_leaves_the_others_alone() -> None:
    """Its own circuit opens; the provider's stays closed and serves the other models."""
    world = world_of("a", "b")
    for _ in range(2):
        run(world, "good", "ok")
    for _ in range(3):
        run(world, "bad", "server", "ok")
    assert model_states(world) == {"bad": "open"}
    assert world.states.gates["a"].circuit.is_closed
    assert world.states.gates["a"].circuit.window.failures == 0
    assert run(world, "good", "ok").provider == "a"
    outcome = run(world, "bad", "ok")
    assert (outcome.provider, len(outcome.attempts)) == ("b", 1)
    assert run(world, None, "ok").provider == "a"
    (event,) = world.recorder.of("model_circuit_changed")
    assert event == ModelCircuitChanged(
        "tested", "a", "bad", "closed", "open", "failures", 5.0, world.now
    )


def test_the_health_of_the_provider_ignores_a_failing_model() -> None:
    """The provider is not degraded by it, and not passed over for the other models."""
    world = world_of("a", "b")
    run(world, "good", "ok")
    for _ in range(30):
        run(world, "bad", "server", "ok") if not model_states(world) else run(world, "bad", "ok")
    assert world.member("a", "chain").health.failures == 0


def test_a_model_recovers_by_a_trial() -> None:
    """After its open duration one call is the trial; the others go elsewhere meanwhile."""
    world = world_of("a", "b")
    run(world, "good", "ok")
    for _ in range(3):
        run(world, "bad", "server", "ok")
    world.now += 5.0
    trial = plan_for(world, "bad")
    step = world.next_attempt(trial)
    assert (step.member.name, model_states(world)) == ("a", {"bad": "half_open"})
    assert run(world, "bad", "ok").provider == "b"
    world.fail(trial, step)
    assert model_states(world) == {"bad": "open"}
    world.now += 5.0
    assert run(world, "bad", "ok").provider == "a"
    assert model_states(world) == {}
    assert world.states.gates["a"].tripped_models.value == 0


def test_a_trial_that_died_with_its_loop_is_forgotten() -> None:
    """The next call is the trial, at once: its result will not come, and its lease is long."""
    world = world_of("a", "b")
    run(world, "good", "ok")
    for _ in range(3):
        run(world, "bad", "server", "ok")
    world.now += 5.0
    assert world.next_attempt(plan_for(world, "bad")).member.name == "a"
    world.states.gates["a"].forget_attempts()
    assert run(world, "bad", "ok").provider == "a"
    assert model_states(world) == {}


@pytest.mark.parametrize("end", ["cancel", "abandon", "neutral"])
def test_a_trial_without_a_result_gives_its_permit_back(end: str) -> None:
    """Neither stuck nor closed nor open."""
    world = world_of("a", "b")
    run(world, "good", "ok")
    for _ in range(3):
        run(world, "bad", "server", "ok")
    world.now += 5.0
    plan = plan_for(world, "bad")
    step = world.next_attempt(plan)
    if end == "cancel":
        world.cancel(plan, step)
    elif end == "abandon":
        plan.abandon(step)
    else:
        world.fail(plan, step, "not_found")
    assert model_states(world) == {"bad": "half_open"}
    assert world.next_attempt(plan_for(world, "bad")).member.name == "a"


def test_a_full_provider_gives_the_models_permit_back() -> None:
    """The trial of the model is carried by the next call that the provider admits."""
    world = world_of("a", "b", limits=LimitPolicy(in_flight=1))
    run(world, "good", "ok")
    for _ in range(3):
        run(world, "bad", "server", "ok")
    world.now += 5.0
    busy = plan_for(world, "good")
    step = world.next_attempt(busy)
    assert step.member.name == "a"
    assert run(world, "bad", "ok").provider == "b"
    world.succeed(busy, step)
    assert world.next_attempt(plan_for(world, "bad")).member.name == "a"


def test_a_provider_that_fails_for_every_model_opens() -> None:
    """Failures of two models in a row, without an answer between, count at the provider."""
    world = world_of("a", "b")
    run(world, "one", "ok")
    run(world, "two", "ok")
    for model in ("one", "two", "one", "two"):
        run(world, model, "server", "ok")
    assert world.recorder.transitions("a") == ["closed > open"]


@pytest.mark.parametrize(
    ("verdict", "provider_failures"),
    [
        ("transport", 3),
        ("timeout", 0),
        ("overloaded", 0),
        ("unknown", 0),
    ],
)
def test_connections_are_the_providers(verdict: str, provider_failures: int) -> None:
    """A connection that fails is never about one model; any other failure may be."""
    world = world_of("a", "b")
    run(world, "good", "ok")
    for _ in range(3):
        run(world, "bad", verdict, "ok")
    gate = world.states.gates["a"]
    assert gate.circuit.is_closed is (provider_failures == 0)


def test_a_forbidden_model_trips_its_own_circuit() -> None:
    """A 403 may concern one model; a 401 never does."""
    forbidden = failing("credentials", certain=False)
    world = world_of("a", "b")
    run(world, "good", "ok")
    run(world, "secret", forbidden, "ok")
    assert model_states(world) == {"secret": "open"}
    assert world.states.gates["a"].circuit.is_closed
    run(world, "good", "credentials", "ok")
    assert not world.states.gates["a"].circuit.is_closed


def test_retry_after_of_a_failing_model_still_cools_the_provider_down() -> None:
    """The time that a provider asks for holds for all its models."""
    world = world_of("a", "b")
    run(world, "good", "ok")
    run(world, "bad", failing("overloaded", 9.0), "ok")
    assert world.states.gates["a"].ready_in(world.now) == 9.0
    assert world.states.gates["a"].circuit.window.failures == 0


def test_a_circuit_that_one_model_opened_is_handed_to_it() -> None:
    """A second model that is named for the first time is served at once."""
    world = world_of("a", "b")
    for _ in range(3):
        run(world, "bad", "server", "ok")
    assert not world.states.gates["a"].circuit.is_closed
    assert run(world, "good", "ok").provider == "a"
    assert model_states(world) == {"bad": "open"}
    assert world.recorder.transitions("a") == ["closed > open", "open > closed"]
    assert run(world, "bad", "ok").provider == "b"


def test_a_circuit_that_a_bad_key_opened_is_not_handed_over() -> None:
    """It concerns every model; and a half-open circuit is decided by its trial."""
    world = world_of("a", "b")
    run(world, "one", "credentials", "ok")
    assert run(world, "two", "ok").provider == "b"
    assert not world.states.gates["a"].circuit.is_closed
    world = world_of("a", "b")
    for _ in range(3):
        run(world, "one", "server", "ok")
    world.now += 5.0
    circuit = world.states.gates["a"].circuit
    circuit.settle(world.now)
    plan_for(world, "two")
    assert circuit.state(world.now) is CircuitState.HALF_OPEN


def test_trials_of_a_failing_model_do_not_keep_the_provider_open() -> None:
    """They open the circuit of the model; then another model passes the provider's trial."""
    world = world_of("a")
    run(world, "bad", "ok")
    run(world, "good", "ok")
    for model in ("bad", "good", "bad", "good"):
        run(world, model, "server")
    world.now += 5.0
    run(world, "bad", "server")
    assert model_states(world) == {"bad": "open"}
    assert not world.states.gates["a"].circuit.is_closed
    world.now += 5.0
    assert run(world, "good", "ok").provider == "a"
    assert world.states.gates["a"].circuit.is_closed
    assert model_states(world) == {"bad": "half_open"}


def test_rejection_names_the_model_and_when_to_retry() -> None:
    """The error of a call whose only provider's model is open."""
    world = world_of("a")
    run(world, "good", "ok")
    for _ in range(3):
        run(world, "bad", "server")
    world.now += 1.0
    outcome = world.next_outcome(plan_for(world, "bad"))
    assert isinstance(outcome.error, NoProviderAvailable)
    assert outcome.error.states == {"a": "model bad open (failures), half-open in 4.0 s"}
    assert outcome.error.retry_after == 4.0


def test_a_sole_provider_lets_calls_join_the_models_trial() -> None:
    """Where no other provider can serve, the trial does not reject the others for long."""
    world = world_of("a")
    run(world, "good", "ok")
    for _ in range(3):
        run(world, "bad", "server")
    world.now += 5.0
    world.next_attempt(plan_for(world, "bad"))
    world.now += 1.5
    assert isinstance(world.step(plan_for(world, "bad")), AttemptStep)


def test_a_model_that_opens_during_a_call_is_not_retried_there() -> None:
    """The call moves on at once."""
    world = World(
        [provider("a"), provider("b")],
        [Route("chain", ["a", "b"], retries_per_provider=5)],
        circuit=CircuitPolicy(failures=1, growth=1),
    )
    run(world, "good", "ok")
    assert run(world, "bad", "server", "ok").provider == "b"


def test_withheld_failures_count_at_the_model() -> None:
    """Two providers that fail alike for one model, while a third one answers."""
    world = world_of("a", "b", "c")
    run(world, "good", "ok")
    for name in ("b", "c"):
        world.states.gates[name].see_model("good", world.now)
    for _ in range(3):
        run(world, "bad", "server", "server", "ok")
    assert model_states(world, "a") == model_states(world, "b") == {"bad": "open"}
    assert world.states.gates["b"].circuit.window.failures == 0


def test_a_provider_of_one_model_has_no_model_circuits() -> None:
    """What the request names does not matter where the provider's model is fixed."""
    world = world_of("a", model="fixed")
    for model in ("one", "two", "three"):
        run(world, model, "server")
    assert world.recorder.transitions("a") == ["closed > open"]
    assert world.route("chain").models is None


def test_a_function_may_name_the_model() -> None:
    """Of requests of any type."""
    world = world_of("a", model=lambda request: request.partition(":")[0])
    for request, outcome in [("good:1", "ok"), *[("bad:1", "server")] * 3]:
        plan = world.plan("chain", request=request)
        world.run_attempts(plan, outcome)
        world.next_outcome(plan)
    assert model_states(world) == {"bad": "open"}


def test_a_hold_decides_for_all_models() -> None:
    """It forgets the circuits of the models; while it lasts none is consulted."""
    world = world_of("a")
    run(world, "good", "ok")
    for _ in range(3):
        run(world, "bad", "server")
    gate = world.states.gates["a"]
    gate.set_hold("closed", world.now)
    assert (model_states(world), gate.tripped_models.value) == ({}, 0)
    for _ in range(4):
        run(world, "bad", "server")
    assert model_states(world) == {}


def test_circuits_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed one is replaced by a new one; while all are open, further models have none."""
    monkeypatch.setattr(model_circuits, "MAX_MODELS", 2)
    monkeypatch.setattr(model_watch, "MAX_SEEN", 3)
    world = world_of("a")
    run(world, "good", "ok")
    for number in range(5):
        run(world, f"once {number}", "server")
        run(world, "good", "ok")
    for model in ("one", "two", "three"):
        for _ in range(3):
            run(world, model, "server")
            run(world, "good", "ok")
    assert model_states(world) == {"one": "open", "two": "open"}
    assert world.states.gates["a"].circuit.is_closed


def test_other_configurations_and_clocks() -> None:
    """A new policy applies to the models too; a shifted clock moves them; a removal forgets."""
    world = world_of("a", "b")
    run(world, "good", "ok")
    for _ in range(3):
        run(world, "bad", "server", "ok")
    gate = world.states.gates["a"]
    gate.apply(CircuitPolicy(failures=1, open_duration=50.0, growth=1), None)
    gate.shift(10.0)
    assert gate.models is not None
    assert gate.models.ready_in("bad", world.now) == 15.0
    run(world, "worse", "server", "ok")
    assert gate.models.ready_in("worse", world.now) == 50.0
    plan = plan_for(world, "good")
    step = world.next_attempt(plan)
    world.states.remove_provider("a")
    assert gate.tripped_models.value == 0
    world.fail(plan, step)
    assert gate.models is None
