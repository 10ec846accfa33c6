"""No provider available: rejections, and queueing with `wait=`."""

from __future__ import annotations

import gc
import math
import sys
import traceback
from typing import Any

import pytest

from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy, RetryPolicy
from multirouter.core.settings.wait_policy import WaitPolicy
from multirouter.errors import AllProvidersFailed, CallTimeout, NoProviderAvailable
from tests.core.kit import FIXED, World, calm, chain, failing, provider

# ── no provider available ───────────────────────────────────────────────────────────────────────


def test_all_circuits_open() -> None:
    """Cases 37 and 56: rejects at once, with each state, last error and earliest return."""
    world = World([provider("a"), provider("b")], circuit=FIXED)
    world.trip("a")
    world.now += 1.0
    world.trip("b")
    outcome = world.next_outcome(world.plan())
    error = outcome.error
    assert outcome.result == "rejected"
    assert outcome.elapsed == 0.0
    assert isinstance(error, NoProviderAvailable)
    assert set(error.states) == {"a", "b"}
    assert error.states["a"].startswith("open (failures; last failure: server), half-open in 4.0 s")
    assert error.retry_after == pytest.approx(4.0)
    assert error.attempts == ()


def test_rejections_leak_nothing() -> None:
    """Case 36: 20,000 rejections leave memory flat; each error is new, its traceback short."""
    world = World(
        [provider("a")], circuit=CircuitPolicy(failures=1, open_duration=1e6, max_open_duration=1e6)
    )
    world.recorder.events = world.recorder.events.__class__(maxlen=1)
    world.trip("a")
    depths, seen = set(), None
    blocks = []
    for number in range(20_000):
        error = world.plan().next_step(world.now).error  # type: ignore[union-attr]
        assert error is not seen
        seen = error
        if number % 4_000 == 0:
            try:
                raise error
            except NoProviderAvailable as caught:
                depths.add(len(traceback.extract_tb(caught.__traceback__)))
            gc.collect()
            blocks.append(sys.getallocatedblocks())
    assert depths == {1}
    assert max(blocks[1:]) - blocks[1] < 100


def test_limits_set_retry_after() -> None:
    """Case 37: a call rejected by the router's rate gets the time until it has capacity."""
    world = calm("a", limits=LimitPolicy(requests_per_minute=6.0, burst=0.1))
    world.succeed(plan := world.plan(), world.next_attempt(plan))
    error = world.next_outcome(world.plan()).error
    assert isinstance(error, NoProviderAvailable)
    assert error.states == {"a": "requests_per_minute used up"}
    assert error.retry_after == pytest.approx(10.0)
    narrow = calm("a", limits=LimitPolicy(in_flight=1))
    narrow.next_attempt(narrow.plan())
    error = narrow.next_outcome(narrow.plan()).error
    assert isinstance(error, NoProviderAvailable)
    assert error.retry_after is None  # that waits for an attempt, not for time


# ── queueing ────────────────────────────────────────────────────────────────────────────────────


def test_queueing_is_opt_in_and_bounded() -> None:
    """With `wait=` the call queues for that long, or until its deadline, and no longer."""
    world = World([provider("a", limits=LimitPolicy(in_flight=1))])
    holder = world.plan()
    held = world.next_attempt(holder)
    assert world.next_outcome(world.plan()).result == "rejected"
    for wait, timeout, until in [(3.0, 10.0, 3.0), (math.inf, 10.0, 10.0)]:
        plan = world.plan(wait=wait, timeout=timeout)
        start = world.now
        step = world.next_wait(plan)
        assert (step.for_capacity, step.until) == (True, start + until)
        world.now += 1.0
        assert world.next_wait(plan).until == start + until
        world.now = step.until
        outcome = world.next_outcome(plan)
        assert isinstance(outcome.error, NoProviderAvailable if until < 10.0 else CallTimeout)
    plan = world.plan(wait=5.0)
    world.next_wait(plan)
    world.succeed(holder, held)
    assert world.next_attempt(plan).member.name == "a"


def test_queueing_after_failures() -> None:
    """A call may queue after failures too, and goes on when a provider is available."""
    world = World([provider("a"), provider("b")], circuit=CircuitPolicy(failures=1, growth=1))
    plan = world.plan(wait=20.0)
    start = world.now
    assert sorted(world.run_attempts(plan, "overloaded", "overloaded")) == ["a", "b"]
    step = world.next_wait(plan)
    assert (step.for_capacity, step.until) == (True, start + 20.0)
    assert plan.ready_in(world.now) == pytest.approx(5.0)
    world.now += 5.0
    assert len(world.run_attempts(plan, "server", "server")) == 2
    world.now = start + 20.0
    outcome = world.next_outcome(plan)
    assert isinstance(outcome.error, AllProvidersFailed)
    assert len(outcome.attempts) == 4


def test_no_queueing_without_a_chance() -> None:
    """A call without attempts, budget or an eligible provider does not queue."""
    trips = CircuitPolicy(failures=1, growth=1)
    for retry in (RetryPolicy(attempts=1), RetryPolicy(budget=0.0, budget_floor=0)):
        world = World([provider("a")], circuit=trips, retry=retry)
        plan = world.plan(wait=60.0)
        world.fail(plan, world.next_attempt(plan))
        assert world.next_outcome(plan).result == "failure"
    world = World([provider("a")], circuit=trips)
    plan = world.plan(wait=60.0)
    world.fail(plan, world.next_attempt(plan), "timeout")
    assert world.next_outcome(plan).result == "failure"


def test_queueing_for_a_healthy_provider_is_free() -> None:
    """An unattempted healthy provider is worth queueing for without any budget."""
    world = World(
        [provider("a"), provider("b", limits=LimitPolicy(in_flight=1))],
        [Route("chain", ["a", "b"])],
        circuit=CircuitPolicy(failures=2, growth=1),
        retry=RetryPolicy(attempts=1),
    )
    world.run_call("b", "success")
    holder = world.plan(["b"])
    held = world.next_attempt(holder)
    plan = world.plan("chain", wait=60.0)
    world.fail(plan, world.next_attempt(plan), "timeout")
    assert not world.next_wait(plan).for_capacity
    world.pass_wait(plan)
    assert world.next_wait(plan).for_capacity
    world.succeed(holder, held)
    assert world.run_attempts(plan, "ok") == ["b"]


def test_ready_in_ignores_excluded_providers() -> None:
    """A queued call waits for a provider that may still serve it, not for others."""
    world = chain("a", "b", retry=RetryPolicy(max_retry_after=30.0))
    world.run_call("b", failing("rate_limit", 40.0))
    plan = world.plan("chain", wait=60.0)
    assert plan.ready_in(world.now) == 0.0
    world.fail(plan, world.next_attempt(plan), "timeout")
    assert world.next_wait(plan).for_capacity
    assert plan.ready_in(world.now) == pytest.approx(40.0)
    world.now += 40.0
    assert world.run_attempts(plan, "ok") == ["b"]


def test_ready_in_includes_shared_limits() -> None:
    """The slowest of the route's, router's and provider's limits decides."""
    route = Route("r", ["a"], limits=LimitPolicy(requests_per_minute=3.0, burst=1 / 3))
    world = calm("a", routes=[route], limits=LimitPolicy(requests_per_minute=6.0, burst=1 / 6))
    plan = world.plan("r")
    world.next_attempt(plan)
    assert world.plan("r").ready_in(world.now) == pytest.approx(20.0)
    assert world.plan().ready_in(world.now) == pytest.approx(10.0)
    full = calm("a", limits=LimitPolicy(in_flight=1))
    full.next_attempt(full.plan())
    assert full.plan().ready_in(full.now) is None


def test_wait_policy_that_must_know() -> None:
    """With `only_if_known` a call waits for a rate limit in time, not for attempts of others."""
    busy = World([provider("a", limits=LimitPolicy(in_flight=1))])
    soon = World([provider("a", limits=LimitPolicy(requests_per_minute=60, burst=1 / 60))])
    for world in (busy, soon):
        world.next_attempt(world.plan())
    policy = WaitPolicy(1.0, max_waiting=7, only_if_known=True)
    assert isinstance(world_error(busy, wait=policy), NoProviderAvailable)
    assert isinstance(
        world_error(soon, wait=WaitPolicy(0.9, only_if_known=True)), NoProviderAvailable
    )
    plan = soon.plan(wait=policy)
    step = soon.next_wait(plan)
    assert (step.until, step.max_waiting) == (soon.now + 1.0, 7)
    soon.now += 0.5  # what is known by now decides no more
    assert soon.next_wait(plan).max_waiting is None
    plan.stop_waiting()
    assert isinstance(soon.next_outcome(plan).error, NoProviderAvailable)
    anyway = busy.next_wait(busy.plan(wait=WaitPolicy(1.0)))
    assert (anyway.until, anyway.max_waiting) == (busy.now + 1.0, None)


def world_error(world: World, **call: Any) -> BaseException | None:
    """The error of a call that ends at once."""
    return world.next_outcome(world.plan(**call)).error
