"""When nobody can be asked: refusals that say enough, and waiting for room."""

from __future__ import annotations

import gc
import math
import sys
import traceback

import pytest

from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy, RetryPolicy
from multirouter.errors import AllProvidersFailed, CallTimeout, NoProviderAvailable
from tests.core.kit import FIXED, World, calm, chain, failing, provider

# ── nobody there ────────────────────────────────────────────────────────────────────────────────


def test_all_circuits_open() -> None:
    """Cases 37 and 56: at once, with each one's state, last error and the soonest return."""
    world = World([provider("a"), provider("b")], circuit=FIXED)
    world.trip("a")
    world.now += 1.0
    world.trip("b")
    outcome = world.ended(world.plan())
    error = outcome.error
    assert outcome.result == "refused"
    assert outcome.elapsed == 0.0
    assert isinstance(error, NoProviderAvailable)
    assert set(error.states) == {"a", "b"}
    assert error.states["a"].startswith("open (failures, last server), resets in 4.0 s")
    assert error.retry_after == pytest.approx(4.0)
    assert error.attempts == ()


def test_refusals_leave_nothing_behind() -> None:
    """Case 36: 20,000 refusals leave memory flat; each error is fresh, its traceback short."""
    world = World(
        [provider("a")], circuit=CircuitPolicy(failures=1, open_duration=1e6, max_open_duration=1e6)
    )
    world.heard.news = world.heard.news.__class__(maxlen=1)
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


def test_limits_say_when_to_come_back() -> None:
    """Case 37: a call that the router's own rate refuses is told when that has room again."""
    world = calm("a", limits=LimitPolicy(requests_per_minute=6.0, burst=0.1))
    world.answers(plan := world.plan(), world.trying(plan))
    error = world.ended(world.plan()).error
    assert isinstance(error, NoProviderAvailable)
    assert error.states == {"a": "requests_per_minute used up"}
    assert error.retry_after == pytest.approx(10.0)
    narrow = calm("a", limits=LimitPolicy(in_flight=1))
    narrow.trying(narrow.plan())
    error = narrow.ended(narrow.plan()).error
    assert isinstance(error, NoProviderAvailable)
    assert error.retry_after is None  # that waits for an attempt, not for time


# ── waiting for room ────────────────────────────────────────────────────────────────────────────


def test_waiting_is_opt_in_and_ends() -> None:
    """With `wait=` the call stands in line until then, or until its deadline, and no longer."""
    world = World([provider("a", limits=LimitPolicy(in_flight=1))])
    holder = world.plan()
    hold_changed = world.trying(holder)
    assert world.ended(world.plan()).result == "refused"
    for wait, timeout, until in [(3.0, 10.0, 3.0), (math.inf, 10.0, 10.0)]:
        plan = world.plan(wait=wait, timeout=timeout)
        start = world.now
        step = world.waiting(plan)
        assert (step.for_room, step.until) == (True, start + until)
        world.now += 1.0
        assert world.waiting(plan).until == start + until
        world.now = step.until
        outcome = world.ended(plan)
        assert isinstance(outcome.error, NoProviderAvailable if until < 10.0 else CallTimeout)
    plan = world.plan(wait=5.0)
    world.waiting(plan)
    world.answers(holder, hold_changed)
    assert world.trying(plan).member.name == "a"


def test_waiting_after_failures() -> None:
    """After failures too a call may stand in line, and goes on when somebody is back."""
    world = World([provider("a"), provider("b")], circuit=CircuitPolicy(failures=1, growth=1))
    plan = world.plan(wait=20.0)
    start = world.now
    assert sorted(world.asked(plan, "server", "server")) == ["a", "b"]
    step = world.waiting(plan)
    assert (step.for_room, step.until) == (True, start + 20.0)
    assert plan.ready_in(world.now) == pytest.approx(5.0)
    world.now += 5.0
    assert len(world.asked(plan, "server", "server")) == 2
    world.now = start + 20.0
    outcome = world.ended(plan)
    assert isinstance(outcome.error, AllProvidersFailed)
    assert len(outcome.attempts) == 4


def test_waiting_in_vain_is_left_out() -> None:
    """Who has no attempt or budget left, or whom nobody may serve, does not stand in line."""
    trips = CircuitPolicy(failures=1, growth=1)
    for retry in (RetryPolicy(attempts=1), RetryPolicy(budget=0.0, budget_floor=0)):
        world = World([provider("a")], circuit=trips, retry=retry)
        plan = world.plan(wait=60.0)
        world.fails(plan, world.trying(plan))
        assert world.ended(plan).result == "failure"
    world = World([provider("a")], circuit=trips)
    plan = world.plan(wait=60.0)
    world.fails(plan, world.trying(plan), "timeout")
    assert world.ended(plan).result == "failure"


def test_waiting_for_the_healthy_is_free() -> None:
    """Somebody healthy and never asked is worth waiting for, even when nothing can be paid."""
    world = World(
        [provider("a"), provider("b", limits=LimitPolicy(in_flight=1))],
        [Route("chain", ["a", "b"])],
        circuit=CircuitPolicy(failures=2, growth=1),
        retry=RetryPolicy(attempts=1),
    )
    world.hit("b", "success")
    holder = world.plan(["b"])
    hold_changed = world.trying(holder)
    plan = world.plan("chain", wait=60.0)
    world.fails(plan, world.trying(plan), "timeout")
    assert not world.waiting(plan).for_room
    world.rest(plan)
    assert world.waiting(plan).for_room
    world.answers(holder, hold_changed)
    assert world.asked(plan, "ok") == ["b"]


def test_ready_in_looks_at_who_is_left() -> None:
    """A waiter is woken when one that may still serve it is back, whoever else is there."""
    world = chain("a", "b", retry=RetryPolicy(max_retry_after=30.0))
    world.hit("b", failing("rate_limit", 40.0))
    plan = world.plan("chain", wait=60.0)
    assert plan.ready_in(world.now) == 0.0
    world.fails(plan, world.trying(plan), "timeout")
    assert world.waiting(plan).for_room
    assert plan.ready_in(world.now) == pytest.approx(40.0)
    world.now += 40.0
    assert world.asked(plan, "ok") == ["b"]


def test_ready_in_heeds_shared_limits() -> None:
    """Time alone makes room when the slowest of the route's, router's and provider's limits has."""
    route = Route("r", ["a"], limits=LimitPolicy(requests_per_minute=3.0, burst=1 / 3))
    world = calm("a", routes=[route], limits=LimitPolicy(requests_per_minute=6.0, burst=1 / 6))
    plan = world.plan("r")
    world.trying(plan)
    assert world.plan("r").ready_in(world.now) == pytest.approx(20.0)
    assert world.plan().ready_in(world.now) == pytest.approx(10.0)
    full = calm("a", limits=LimitPolicy(in_flight=1))
    full.trying(full.plan())
    assert full.plan().ready_in(full.now) is None
