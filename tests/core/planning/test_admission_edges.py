"""Edge cases of admission: roles, last candidates, sizes at shared limits, background trials."""

from __future__ import annotations

import math
from typing import Any

import pytest

from multirouter.core.events import FailedOver
from multirouter.core.health.latency_tracker import LatencyTracker
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, HedgePolicy, LimitPolicy
from multirouter.errors import AttemptTimeout
from multirouter.model import Verdict
from tests.core.kit import World, answer, failing, provider

FIXED = CircuitPolicy(failures=1, growth=1, open_duration=5.0)


class FixedLatency(LatencyTracker):
    """Latency tracker with an adaptive timeout of two seconds."""

    __slots__ = ()
    limit = 2.0


def world_of(names: str, **settings: Any) -> World:
    """Providers whose circuits open at the first failure, with an adaptive timeout of 2 s."""
    world = World([provider(name) for name in names], circuit=FIXED, **settings)
    for route in world.registry.all_routes().values():
        for member in route.members:
            member.latency.__class__ = FixedLatency
    return world


def next_timeout(world: World, plan: Any) -> float:
    """Timeout of the plan's next attempt, seconds."""
    return world.next_attempt(plan).deadline - world.now


# ── roles ───────────────────────────────────────────────────────────────────────────────────────


def test_callers_own_trial_has_role_call() -> None:
    """As last resort and with idempotent=False, the trial has the role call."""
    world = world_of("ab")
    world.half_open("a")
    assert world.next_attempt(world.plan(idempotent=False)).role == "call"
    world = world_of("a")
    world.half_open("a")
    assert world.next_attempt(world.plan()).role == "call"


def test_hedge_at_a_half_open_provider_has_role_hedge() -> None:
    """Beside a slow attempt, the trial of a half-open provider has the role hedge."""
    world = world_of("ab", hedge=HedgePolicy(after=1.0))
    plan = world.plan()
    slow = world.next_attempt(plan)
    other = "b" if slow.member.name == "a" else "a"
    world.half_open(other)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    assert (hedge.member.name, hedge.role, hedge.permit.trial) == (other, "hedge", True)


def test_retry_has_role_call() -> None:
    """A retry has the role call, as the first attempt had."""
    world = World([provider("a")], [Route("r", ["a"], retries_per_provider=1)])
    plan = world.plan("r")
    world.fail(plan, world.next_attempt(plan))
    world.pass_wait(plan)
    assert world.next_attempt(plan).role == "call"


# ── last candidates ─────────────────────────────────────────────────────────────────────────────


def test_last_candidate_has_no_adaptive_timeout() -> None:
    """The only provider, and the last one left, get the full attempt_timeout."""
    world = world_of("a")
    assert next_timeout(world, world.plan()) == 30.0
    for names in ("ab", "abc"):
        world = world_of(names)
        plan = world.plan()
        for left in range(len(names), 0, -1):
            step = world.next_attempt(plan)
            assert step.deadline - world.now == (30.0 if left == 1 else 2.0)
            world.fail(plan, step)


def test_adaptive_timeout_applies_before_another_tier() -> None:
    """The only provider of a tier has an adaptive timeout when another tier follows."""
    world = world_of("ab", routes=[Route("r", ["a", "b"])])
    assert next_timeout(world, world.plan("r")) == 2.0


def test_adaptive_timeout_applies_to_trials() -> None:
    """A caller's own trial has the provider's adaptive timeout."""
    world = world_of("a")
    world.half_open("a")
    assert next_timeout(world, world.plan()) == 2.0


# ── sizes ───────────────────────────────────────────────────────────────────────────────────────


def test_size_counts_at_every_limit() -> None:
    """Sixty tokens are used up by one request of sixty, at a provider and at the router."""
    tokens = LimitPolicy(tokens_per_minute=60, size=len)
    for world in (World([provider("a", limits=tokens)]), World([provider("a")], limits=tokens)):
        world.next_attempt(world.plan(size=60))
        assert world.next_outcome(world.plan(size=1)).result == "rejected"


# ── background trials ───────────────────────────────────────────────────────────────────────────


def test_background_trial_is_never_hedged() -> None:
    """A trial starts when the router's limits allow it, and has no hedge."""
    limits = LimitPolicy(requests_per_minute=60)
    world = world_of("ab", limits=limits, hedge=HedgePolicy(after=1.0))
    world.half_open("a")
    step = world.next_attempt(world.plan())
    assert step.hedge_at == world.now + 1.0
    assert [trial.hedge_at for trial in step.trials] == [math.inf]


def test_health_check_does_not_block_other_trials() -> None:
    """Of two half-open providers, one with `health_check=`, the other gets its trial."""

    async def health_check() -> None:
        await answer("trial")

    world = World(
        [provider("a", health_check=health_check), provider("b"), provider("c")], circuit=FIXED
    )
    world.half_open("a", "b")
    assert [trial.member.name for trial in world.next_attempt(world.plan()).trials] == ["b"]


def test_failover_starts_no_background_trials() -> None:
    """Trials start beside the first attempt alone, even when that trial was cancelled."""
    world = World([provider(name) for name in "abc"], circuit=FIXED)
    world.half_open("a")
    plan = world.plan()
    step = world.next_attempt(plan)
    world.cancel(plan, step.trials[0])
    world.fail(plan, step)
    assert world.next_attempt(plan).trials == ()


# ── failovers ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("verdict", "error", "limit", "cause"),
    [
        (failing("server", reason="status 500"), OSError(), "", ""),
        (failing("unknown", reason="KeyError at x.py:7"), KeyError(), "", "KeyError at x.py:7"),
        (failing("timeout"), AttemptTimeout("a", "attempt_timeout", 30.0), "", ""),
        (failing("timeout"), AttemptTimeout("a", "first_token", 5.0), "first_token", ""),
    ],
)
def test_what_a_failover_reports(
    verdict: Verdict, error: Exception, limit: str, cause: str
) -> None:
    """Both providers, the kind, the limit of a stream, and what is known of an unknown error."""
    world = World([provider("a"), provider("b")], [Route("r", ["a", "b"])])
    plan = world.plan("r")
    plan.record(world.next_attempt(plan), verdict, None, error, world.now)
    world.succeed(plan, world.next_attempt(plan))
    world.next_outcome(plan)
    events = world.recorder.of("failed_over")
    assert events == [FailedOver("tested", "r", "a", "b", verdict.kind, limit, cause)]
