"""Learned limits of models: one that is used up leaves the provider's other models alone."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import WaitStep
from multirouter.core.routes.chain import Chain, Target
from multirouter.core.settings.policies import LimitPolicy, RetryPolicy
from multirouter.errors import AllProvidersFailed, NoProviderAvailable
from tests.core.kit import NEVER_TRIPS, World, provider

EMPTY = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30"}


def learning(**settings: Any) -> World:
    """A provider that learns its limits."""
    world = World(
        [provider("a", limits=LimitPolicy(learn=True), **settings)],
        circuit=NEVER_TRIPS,
        retry=RetryPolicy(attempts=1),
    )
    world.states.now = lambda: world.now
    return world


def plan_for(world: World, model: str, *, chained: bool = False, **settings: Any) -> Plan:
    """The plan of a call with a model, which the request names or a target of a chain."""
    route = Chain([Target("default", model)]) if chained else None
    return world.plan(route, request={} if chained else {"model": model}, **settings)


@pytest.mark.parametrize("chained", [False, True])
def test_one_model_at_its_limit_leaves_the_others(*, chained: bool) -> None:
    """Its own calls fail with the time of its refill; those of another model are served."""
    world = learning()
    world.states.observe_headers("a", "m", EMPTY)
    plan = plan_for(world, "n", chained=chained)
    world.run_attempts(plan, "ok")
    assert world.next_outcome(plan).ok
    error = world.next_outcome(plan_for(world, "m", chained=chained)).error
    assert isinstance(error, NoProviderAvailable)
    assert error.retry_after == 30.0
    assert "at the limit that its headers report for model m" in str(error)


def test_calls_of_the_model_wait_for_its_refill() -> None:
    """A call of another model is no call of the same class: it waits for something else."""
    world = learning()
    for model, reset in (("m", "30"), ("n", "20")):
        world.states.observe_headers("a", model, {**EMPTY, "x-ratelimit-reset-requests": reset})
    plans = [plan_for(world, model, wait=60.0) for model in ("m", "n", "m")]
    assert all(isinstance(plan.next_step(world.now), WaitStep) for plan in plans)
    assert [plan.recheck_in(world.now) for plan in plans] == [30.0, 20.0, 30.0]
    classes = [plan.wait_class() for plan in plans]
    assert classes[0] == classes[2] != classes[1]


@pytest.mark.parametrize("answer", ["ok", "rate_limit", "server"])
def test_an_attempt_counts_for_its_model(answer: str) -> None:
    """From its start to its end; only a 429 of the model teaches a rate."""
    world = learning()
    learned = world.states.gates["a"].learned
    assert learned is not None
    plan = plan_for(world, "m")
    step = world.next_attempt(plan)
    assert (learned.of("m").in_flight, learned.of("n").in_flight) == (1, 0)
    world.succeed(plan, step) if answer == "ok" else world.fail(plan, step, answer)
    outcome = world.next_outcome(plan)
    assert learned.of("m").in_flight == 0
    assert (learned.rejection(0, world.now, "m") != "") is (answer == "rate_limit")
    assert learned.rejection(0, world.now, "n") == ""
    if answer == "rate_limit":
        assert isinstance(outcome.error, AllProvidersFailed)
        assert outcome.error.retry_after == learned.ready_in(0, world.now, "m") != 0.0


def test_an_attempt_that_was_not_made_counts_for_no_model() -> None:
    """Its permit is returned, and what it took with it."""
    world = learning()
    learned = world.states.gates["a"].learned
    assert learned is not None
    plan = plan_for(world, "m")
    plan.abandon(world.next_attempt(plan))
    assert learned.of("m").in_flight == 0


def test_a_provider_with_one_model_has_one_limit() -> None:
    """Whatever its calls name."""
    world = learning(model="own")
    world.states.observe_headers("a", "own", EMPTY)
    for named in ("m", "n"):
        error = world.next_outcome(plan_for(world, named)).error
        assert isinstance(error, NoProviderAvailable)
        assert error.retry_after == 30.0
