"""The error of a request that no provider can express; an outage is never hidden behind it."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.planning.plan import Plan
from multirouter.core.routes.chain import Chain, Target
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, RetryPolicy
from multirouter.errors import (
    AllProvidersFailed,
    CallFailed,
    NoProviderAvailable,
    RequestUnsupported,
)
from tests.core.kit import FIXED, NEVER_TRIPS, ScriptedError, World, failing, provider

REQUEST = {"holo": 1}


def lacks_holo(request: Any) -> dict[str, str]:
    """What a provider without holograms lacks."""
    return {"holo": "no holograms"} if "holo" in request else {}


def lacks_more(request: Any) -> dict[str, str]:
    """The same of another format."""
    return {"holo": "flat"} if "holo" in request else {}


def world_of(
    *plain: str, rich: tuple[str, ...] = (), circuit: CircuitPolicy = NEVER_TRIPS
) -> World:
    """Providers without holograms, and others, on the route `work`."""
    lacks = [lacks_holo, lacks_more]
    poor = [provider(name, lacks=lacks[at % 2]) for at, name in enumerate(plain)]
    members = [*poor, *(provider(name) for name in rich)]
    route = Route("work", [one.name for one in members], retry=RetryPolicy(attempts=1))
    return World(members, [route], circuit=circuit)


def error_of(world: World, plan: Plan) -> Any:
    """The error with which the plan ends now."""
    return world.next_outcome(plan).error


def test_no_provider_can() -> None:
    """The error names each provider and what it lacks; nothing was attempted."""
    world = world_of("a", "b")
    plan = world.plan("work", request=REQUEST)
    outcome = world.next_outcome(plan)
    assert outcome.result == "rejected"
    assert isinstance(outcome.error, RequestUnsupported)
    assert outcome.error.states == {
        "a": "cannot express holo: no holograms",
        "b": "cannot express holo: flat",
    }
    assert str(outcome.error) == (
        "no provider of route 'work' can serve the request "
        "(a: cannot express holo: no holograms; b: cannot express holo: flat)"
    )
    assert (outcome.error.attempts, outcome.error.retry_after) == ((), None)


def test_providers_that_said_so_count_alike() -> None:
    """Those that answered 400 are named beside those that were known; the last is the cause."""
    world = world_of("a", rich=("b", "c"))
    plan = world.plan("work", request=REQUEST)
    names = world.run_attempts(plan, "unsupported", "unsupported")
    error = error_of(world, plan)
    assert names == ["b", "c"]
    assert isinstance(error, RequestUnsupported)
    assert error.states["c"] == "unsupported: c: unsupported"
    assert isinstance(error.__cause__, ScriptedError)
    assert [record.provider for record in error.attempts] == ["b", "c"]
    assert all(world.states.gates[name].circuit.is_closed for name in "abc")


def test_one_provider_keeps_its_own_exception() -> None:
    """On a route of one provider there is nothing to add to what it raised."""
    world = World([provider("a")])
    plan = world.plan(request=REQUEST)
    raised = world.fail(plan, world.next_attempt(plan), "unsupported")
    assert error_of(world, plan) is raised


def test_other_failures_of_the_request_keep_the_exception() -> None:
    """A context that is too long is said as before."""
    world = world_of("a", rich=("b", "c"))
    plan = world.plan("work", request=REQUEST)
    world.run_attempts(plan, "unsupported", "context_length")
    assert isinstance(error_of(world, plan), ScriptedError)


def test_an_open_circuit_is_not_hidden() -> None:
    """The provider that can express it is open: that is the error, with the wait for it."""
    world = world_of("a", rich=("b",), circuit=FIXED)
    world.trip("b")
    error = error_of(world, world.plan("work", request=REQUEST))
    assert type(error) is NoProviderAvailable
    assert error.states["a"] == "cannot express holo: no holograms"
    assert "open" in error.states["b"]
    assert 0 < (error.retry_after or 0) <= 5


def test_an_open_circuit_is_not_hidden_by_an_attempt() -> None:
    """The same when a provider found out only when it was attempted."""
    world = world_of("a", rich=("b", "c"), circuit=FIXED)
    world.trip("b")
    plan = world.plan("work", request=REQUEST)
    assert world.run_attempts(plan, "unsupported") == ["c"]
    outcome = world.next_outcome(plan)
    assert outcome.result == "failure"
    assert type(outcome.error) is NoProviderAvailable
    assert outcome.error.states["c"] == "unsupported: c: unsupported"
    assert [record.provider for record in outcome.error.attempts] == ["c"]
    assert 0 < (outcome.error.retry_after or 0) <= 5


def test_an_open_model_is_not_hidden() -> None:
    """The circuit of one model counts like that of the provider."""
    world = World(
        [provider("a", lacks=lacks_holo), provider("b"), provider("c")],
        [Route("work", ["a", "b", "c"]), Route("only", ["b"])],
        circuit=FIXED,
    )
    for model in ("m", "other", "m", "m", "m"):
        plan = world.plan("only", request={"model": model})
        step = world.next_attempt(plan)
        if model == "m":
            world.fail(plan, step)
        else:
            world.succeed(plan, step)
    plan = world.plan("work", request={"model": "m", **REQUEST})
    assert world.run_attempts(plan, "unsupported") == ["c"]
    assert type(error_of(world, plan)) is NoProviderAvailable


def test_a_failed_provider_is_not_hidden() -> None:
    """The one that can express it was attempted and failed: no 400, and its own wait."""
    world = world_of("a", rich=("b",))
    plan = world.plan("work", request=REQUEST)
    assert world.run_attempts(plan, failing("rate_limit", retry_after=60.0)) == ["b"]
    error = error_of(world, plan)
    assert isinstance(error, AllProvidersFailed)
    assert error.retry_after == pytest.approx(60.0)


def test_chains_name_the_target() -> None:
    """A provider with two models may lack something for one of them alone."""
    world = World([provider("a"), provider("b")], [Route("a", ["a"]), Route("b", ["b"])])
    chain = Chain([Target("a", "x"), Target("a", "y"), Target("b", "z")])
    plan = world.plan(chain, request={"messages": []})
    assert world.run_attempts(plan, *["unsupported"] * 3) == ["a", "a", "b"]
    error = error_of(world, plan)
    assert isinstance(error, CallFailed)
    assert error.states.keys() == {"a", "a (y)", "b"}  # type: ignore[attr-defined]


def test_reject_ends_the_call() -> None:
    """With `reject` a provider's own 400 is the answer, though another might serve."""
    members = [provider("a"), provider("b")]
    world = World(members, [Route("work", ["a", "b"], unsupported="reject")])
    plan = world.plan("work", request=REQUEST)
    raised = world.fail(plan, world.next_attempt(plan), "unsupported")
    assert error_of(world, plan) is raised
