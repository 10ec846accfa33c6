"""Edges at the doors: roles, who is alone, sizes at shared limits, and copies."""

from __future__ import annotations

import math
from typing import Any

from multirouter.core.health.adaptive_timeout import LatencyTracker
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, HedgePolicy, LimitPolicy
from tests.core.kit import World, answer, provider

FIXED = CircuitPolicy(failures=1, growth=1, open_duration=5.0)


class Known(LatencyTracker):
    """A pace that knows two seconds to be enough."""

    __slots__ = ()
    limit = 2.0


def world_of(names: str, **settings: Any) -> World:
    """Providers whose circuits open at the first failure, and who are known to take 2 s."""
    world = World([provider(name) for name in names], circuit=FIXED, **settings)
    for route in world.roster.all_routes().values():
        for member in route.members:
            member.latency.__class__ = Known
    return world


def seconds(world: World, plan: Any) -> float:
    """What the plan's next attempt may take."""
    return world.trying(plan).deadline - world.now


# ── roles ───────────────────────────────────────────────────────────────────────────────────────


def test_a_callers_own_trial_is_a_call() -> None:
    """Whether nobody else is left or the call must not be copied, its trial has the role call."""
    world = world_of("ab")
    world.half_open("a")
    assert world.trying(world.plan(idempotent=False)).role == "call"
    world = world_of("a")
    world.half_open("a")
    assert world.trying(world.plan()).role == "call"


def test_a_hedge_at_a_trial_is_a_hedge() -> None:
    """Beside a slow attempt, a half-open provider is asked as a hedge."""
    world = world_of("ab", hedge=HedgePolicy(after=1.0))
    plan = world.plan()
    slow = world.trying(plan)
    other = "b" if slow.member.name == "a" else "a"
    world.half_open(other)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    assert (hedge.member.name, hedge.role, hedge.permit.trial) == (other, "hedge", True)


def test_the_same_provider_again_is_a_call() -> None:
    """A retry has the role call, as the first attempt had."""
    world = World([provider("a")], [Route("r", ["a"], retries_per_provider=1)])
    plan = world.plan("r")
    world.fails(plan, world.trying(plan))
    world.rest(plan)
    assert world.trying(plan).role == "call"


# ── who is alone ────────────────────────────────────────────────────────────────────────────────


def test_whom_nobody_could_follow_has_all_the_time() -> None:
    """The only provider is not cut off by its own past, and nor is the last one left."""
    world = world_of("a")
    assert seconds(world, world.plan()) == 30.0
    for names in ("ab", "abc"):
        world = world_of(names)
        plan = world.plan()
        for left in range(len(names), 0, -1):
            step = world.trying(plan)
            assert step.deadline - world.now == (30.0 if left == 1 else 2.0)
            world.fails(plan, step)


def test_who_has_another_tier_behind_is_not_alone() -> None:
    """The only provider of a tier is cut off by its past, since the next tier could be asked."""
    world = world_of("ab", routes=[Route("r", ["a", "b"])])
    assert seconds(world, world.plan("r")) == 2.0


def test_a_trial_is_cut_off_by_its_past() -> None:
    """A caller's own trial may take what its provider's answers usually take."""
    world = world_of("a")
    world.half_open("a")
    assert seconds(world, world.plan()) == 2.0


# ── sizes ───────────────────────────────────────────────────────────────────────────────────────


def test_sizes_count_at_every_limit() -> None:
    """Sixty tokens are used up by one request of sixty, at a provider and at the router."""
    tokens = LimitPolicy(tokens_per_minute=60, size=len)
    for world in (World([provider("a", limits=tokens)]), World([provider("a")], limits=tokens)):
        world.trying(world.plan(size=60))
        assert world.ended(world.plan(size=1)).result == "refused"


# ── copies ──────────────────────────────────────────────────────────────────────────────────────


def test_a_copy_is_made_under_limits_and_never_hedged() -> None:
    """Where the router's rates have room, the trial is copied, and nothing races with it."""
    limits = LimitPolicy(requests_per_minute=60)
    world = world_of("ab", limits=limits, hedge=HedgePolicy(after=1.0))
    world.half_open("a")
    step = world.trying(world.plan())
    assert step.hedge_at == world.now + 1.0
    assert [copy.hedge_at for copy in step.copies] == [math.inf]


def test_a_provider_with_its_own_probe_keeps_no_other_from_its_copy() -> None:
    """Of two half-open providers the one with `health_check=` is left out, and the next gets its copy."""

    async def health_check() -> None:
        await answer("trial")

    world = World(
        [provider("a", health_check=health_check), provider("b"), provider("c")], circuit=FIXED
    )
    world.half_open("a", "b")
    assert [copy.member.name for copy in world.trying(world.plan()).copies] == ["b"]


def test_a_failover_makes_no_more_copies() -> None:
    """Copies stand beside the first attempt alone, even when the trial came back untested."""
    world = World([provider(name) for name in "abc"], circuit=FIXED)
    world.half_open("a")
    plan = world.plan()
    step = world.trying(plan)
    world.cancelled(plan, step.copies[0])
    world.fails(plan, step)
    assert world.trying(plan).copies == ()
