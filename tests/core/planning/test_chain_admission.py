"""Admission of attempts is the same in a chain as on the route of its target."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.routes.chain import Chain, Target
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, HedgePolicy, LatencyPolicy
from tests.core.kit import NEVER_TRIPS, World, provider

FIRST = CircuitPolicy(failures=1)
CHAINED = pytest.mark.parametrize("chained", [False, True])


def world_of(*names: str, hedge: HedgePolicy | None = None, **settings: Any) -> World:
    """Providers on one route, `all`, and each on one of its own name."""
    routes = [Route(name, [name]) for name in names]
    return World(
        [provider(name) for name in names],
        [*routes, Route("all", [list(names)], hedge=hedge)],
        **settings,
    )


def plan_of(world: World, name: str, *, chained: bool, seconds: float | None = None) -> Plan:
    """The plan of a call with a route, or with a chain to it alone."""
    chain = Chain([Target(name, "m", seconds)])
    return world.plan(chain if chained else name, request={"model": "m"})


@CHAINED
def test_panic_mode(*, chained: bool) -> None:
    """An open provider is attempted, and the event is reported."""
    world = world_of("a", "b", panic=0.5, circuit=FIRST)
    world.trip("a", "b")
    plan = plan_of(world, "all", chained=chained)
    step = world.next_attempt(plan)
    world.succeed(plan, step)
    assert world.next_outcome(plan).ok
    assert step.why == "panic: chosen by weight among 2"
    assert step.permit.generation == -1
    assert len(world.recorder.of("panic_started")) == 1


@CHAINED
def test_background_trials(*, chained: bool) -> None:
    """They have a role of their own: they cost the call nothing."""
    world = world_of("a", "b", circuit=FIRST)
    world.half_open("a")
    step = world.next_attempt(plan_of(world, "all", chained=chained))
    assert (step.member.name, step.role) == ("b", "call")
    assert [(trial.member.name, trial.role) for trial in step.trials] == [("a", "trial")]


@CHAINED
def test_a_call_that_no_other_can_serve_joins_a_trial(*, chained: bool) -> None:
    """After an interval, beside the trial in flight."""
    world = world_of("a", circuit=FIRST)
    world.half_open("a")
    assert world.next_attempt(plan_of(world, "a", chained=chained)).permit.trial
    assert not isinstance(world.step(plan_of(world, "a", chained=chained)), AttemptStep)
    world.now += 1.0
    assert world.next_attempt(plan_of(world, "a", chained=chained)).permit.trial


@CHAINED
def test_the_role_of_a_hedge(*, chained: bool) -> None:
    """A hedge is one in the trail."""
    world = world_of("a", "b", hedge=HedgePolicy(after=1.0))
    plan = plan_of(world, "all", chained=chained)
    slow = world.next_attempt(plan)
    hedge = plan.hedge(slow, world.now + 1.0)
    assert hedge is not None
    assert (slow.role, hedge.role) == ("call", "hedge")


def settled(seconds: float) -> World:
    """Two providers that have answered often within these seconds."""
    latency = LatencyPolicy(minimum_samples=4)
    world = world_of("a", "b", circuit=NEVER_TRIPS, latency=latency, attempt_timeout=60.0)
    for _ in range(60):
        plan = world.plan("all")
        world.succeed(plan, world.next_attempt(plan), after=seconds)
        world.next_outcome(plan)
    return world


@CHAINED
def test_the_last_candidate_has_no_adaptive_timeout(*, chained: bool) -> None:
    """Where no other can serve the call, a slow answer is better than none."""
    world = settled(0.1)
    step = world.next_attempt(plan_of(world, "all", chained=chained))
    assert step.deadline - world.now < 60.0
    step = world.next_attempt(plan_of(world, "a", chained=chained))
    assert step.deadline - world.now == 60.0
