"""Admission: permits, background trials, shared limits, panic mode, hedge times and trail texts."""

from __future__ import annotations

import math

import pytest

from multirouter.core.circuit.trial_lease import LEASE_MARGIN
from multirouter.core.introspection import explain, snapshot
from multirouter.core.limits.rate_limits import Limits
from multirouter.core.routes.chain import Chain, Target
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, HedgePolicy, LimitPolicy, RetryPolicy
from tests.core.kit import NEVER_TRIPS, World, provider

FIXED = CircuitPolicy(failures=1, growth=1, open_duration=5.0)


def pair(**settings: object) -> World:
    """Two providers of equal weight whose circuits open at the first failure."""
    return World([provider("a"), provider("b")], circuit=FIXED, **settings)


# ── trials ──────────────────────────────────────────────────────────────────────────────────────


def test_trial_runs_in_background() -> None:
    """Case 21: the next call starts a half-open circuit's trial and goes to another provider."""
    world = pair()
    world.half_open("a")
    plan = world.plan()
    step = world.next_attempt(plan)
    assert step.member.name == "b"
    assert step.why == "only candidate; skipped: a half-open"
    (trial,) = step.trials
    assert (trial.member.name, trial.role, trial.permit.trial) == ("a", "trial", True)
    assert trial.why == "trial of a half-open circuit"
    assert world.next_attempt(world.plan()).trials == ()  # the only trial is in flight
    world.succeed(plan, trial)
    assert plan.attempts == []
    assert world.states.gates["a"].circuit.is_closed
    assert world.recorder.attempts[-1].role == "trial"


def test_background_trial_has_its_own_deadline() -> None:
    """A background trial keeps its own timeout; the call beside it may end earlier."""
    world = pair(attempt_timeout=30.0)
    world.half_open("a")
    step = world.next_attempt(world.plan(timeout=2.0))
    assert step.deadline == world.now + 2.0
    assert step.trials[0].deadline == world.now + 30.0


def test_no_background_trial_above_the_providers_limit() -> None:
    """A half-open provider at its own rate limit gets no trial, and none is charged for it."""
    limits = LimitPolicy(requests_per_minute=1, burst=1 / 60)
    world = World([provider("a", limits=limits), provider("b")], circuit=FIXED)
    world.half_open("a")
    assert world.next_attempt(world.plan()).trials == ()


def test_attempt_of_a_lost_loop_returns_nothing() -> None:
    """Permits of a closed loop were forgotten together, so abandoning an attempt returns none."""
    world = pair()
    plan = world.plan()
    step = world.next_attempt(plan)
    world.context.lost = True
    plan.abandon(step)
    assert step.member.gate.in_flight == 1


def test_later_tier_serves_while_the_trial_runs() -> None:
    """In a chain too the caller gets a healthy provider, and the half-open one a trial."""
    world = pair(routes=[Route("chain", ["a", "b"])])
    world.half_open("a")
    step = world.next_attempt(world.plan("chain"))
    assert step.member.name == "b"
    assert [trial.member.name for trial in step.trials] == ["a"]


def test_caller_is_the_trial_without_a_healthy_provider() -> None:
    """Without a healthy provider the caller's attempt is the trial, with no background trial."""
    world = pair(retry=RetryPolicy(budget_floor=10))
    world.half_open("a", "b")
    plan = world.plan()
    first = world.next_attempt(plan)
    assert (first.member.name, first.permit.trial, first.trials) == ("a", True, ())
    assert first.why == "trial of a half-open circuit"
    world.fail(plan, first)
    second = world.next_attempt(plan)
    assert (second.member.name, second.permit.trial) == ("b", True)
    assert second.why == "failover from a (server); trial of a half-open circuit"
    world.succeed(plan, second)
    assert world.next_outcome(plan).provider == "b"


def test_non_idempotent_call_is_the_trial() -> None:
    """With idempotent=False the call's own attempt is the trial; else none would ever start."""
    world = pair()
    world.half_open("a")
    step = world.next_attempt(world.plan(idempotent=False))
    assert (step.member.name, step.permit.trial, step.trials) == ("a", True, ())
    other = world.next_attempt(world.plan(idempotent=False))
    assert other.member.name == "b"


def test_health_check_replaces_the_trial() -> None:
    """With `health_check=` no request is a trial while another provider is available."""

    async def health_check() -> None:
        """Never awaited here."""

    world = World([provider("a", health_check=health_check), provider("b")], circuit=FIXED)
    world.half_open("a")
    for idempotent in (True, False):
        step = world.next_attempt(world.plan(idempotent=idempotent))
        assert (step.member.name, step.trials) == ("b", ())
    world.trip("b")
    assert world.next_attempt(world.plan(idempotent=False)).member.name == "a"


def test_background_trials_need_retry_budget() -> None:
    """A used-up retry budget leaves the trial out, and the call goes on."""
    world = pair(retry=RetryPolicy(budget_floor=1, budget=0.0))
    world.half_open("a")
    first = world.plan()
    step = world.next_attempt(first)
    assert len(step.trials) == 1
    first.abandon(step.trials[0])
    second = world.next_attempt(world.plan())
    assert (second.member.name, second.trials) == ("b", ())


def test_reading_takes_no_permit() -> None:
    """Case 17: tables and gate queries take no permit; only the chosen provider's is taken."""
    world = pair()
    world.half_open("a")
    gate = world.states.gates["a"]
    for _ in range(50):
        world.route().tiers[0].table(world.now)
        assert gate.admits(world.now)
        assert gate.half_open(world.now)
    plan = world.plan()
    step = world.next_attempt(plan)
    assert world.in_flight() == {"a": 1, "b": 1}
    assert not gate.admits(world.now)
    plan.abandon(step.trials[0])
    assert gate.admits(world.now)


@pytest.mark.parametrize("idempotent", [True, False])
def test_trial_rejected_by_a_limit_returns_its_permit(idempotent: bool) -> None:
    """Case 18: a half-open provider whose own or route's limit is reached keeps its trial."""
    full = LimitPolicy(in_flight=1)
    world = World(
        [provider("a", limits=LimitPolicy(requests_per_minute=1.0, burst=1.0))],
        [Route("narrow", ["a"], limits=full)],
        circuit=FIXED,
    )
    world.half_open("a")
    assert world.next_outcome(world.plan(idempotent=idempotent)).result == "rejected"
    assert world.in_flight() == {"a": 0}
    world.now += 60.0
    (shared,) = world.route("narrow").limits
    shared.acquire(0, world.now)
    assert world.next_outcome(world.plan("narrow", idempotent=idempotent)).result == "rejected"
    late = world.plan("narrow", timeout=1.0)
    world.now += 1.0
    assert world.next_outcome(late).result == "failure"
    shared.release()
    assert world.next_attempt(world.plan("narrow", idempotent=idempotent)).permit.trial


# ── limits ──────────────────────────────────────────────────────────────────────────────────────


def test_rejecting_provider_is_not_picked_again() -> None:
    """A provider at its limit is skipped within the same choice, down to those of weight 0."""
    one = LimitPolicy(in_flight=1)
    world = World(
        [provider("a", weight=5, limits=one), provider("b", limits=one), provider("z", weight=0)],
    )
    names = [world.next_attempt(world.plan()).member.name for _ in range(4)]
    assert sorted(names[:2]) == ["a", "b"]
    assert names[2:] == ["z", "z"]


def test_tiers_are_searched_in_order() -> None:
    """The next tier is used only when the one before has no provider left, weight 0 included."""
    one = LimitPolicy(in_flight=1)
    world = World(
        [provider("a", limits=one), provider("z", weight=0, limits=one), provider("b")],
        [Route("chain", [["a", "z"], "b"])],
    )
    names = [world.next_attempt(world.plan("chain")).member.name for _ in range(4)]
    assert names == ["a", "z", "b", "b"]


def test_background_trials_respect_shared_limits() -> None:
    """A background trial counts against the route's limits and is left out at the limit."""
    world = pair(routes=[Route("narrow", [["a", "b"]], limits=LimitPolicy(in_flight=1))])
    world.half_open("a")
    plan = world.plan("narrow")
    step = world.next_attempt(plan)
    (shared,) = world.route("narrow").limits
    assert (step.member.name, step.trials, shared.in_flight) == ("b", (), 1)
    world.succeed(plan, step)
    assert shared.in_flight == 0


def test_retries_respect_shared_limits() -> None:
    """A provider is retried only when the route's limits allow it."""
    route = Route("narrow", ["a"], retries_per_provider=1, limits=LimitPolicy(in_flight=1))
    world = World([provider("a")], [route], circuit=NEVER_TRIPS)
    plan = world.plan("narrow")
    world.fail(plan, world.next_attempt(plan))
    world.pass_wait(plan)
    other = world.plan("narrow")
    holder = world.next_attempt(other)
    world.pass_wait(plan)  # the next round, since no attempt could start
    other.abandon(holder)
    assert world.next_attempt(plan).why == "retry after server"


def test_abandon_returns_permit_and_limits() -> None:
    """An attempt that was never started leaves no count in gates and limits."""
    world = pair(
        limits=LimitPolicy(in_flight=3), routes=[Route("r", ["a"], limits=LimitPolicy(in_flight=2))]
    )
    plan = world.plan("r")
    step = world.next_attempt(plan)
    assert [shared.in_flight for shared in world.route("r").limits] == [1, 1]
    plan.abandon(step)
    assert [shared.in_flight for shared in world.route("r").limits] == [0, 0]
    assert world.in_flight() == {"a": 0, "b": 0}


# ── panic mode ──────────────────────────────────────────────────────────────────────────────────


def test_panic_is_opt_in_and_reported() -> None:
    """Case 56: in panic mode open circuits are candidates, and each such choice is an event."""
    calm, panicking = pair(), pair(panic=0.5)
    for world in (calm, panicking):
        world.trip("a", "b")
    assert world.recorder.of("panic_started") == []
    assert calm.next_outcome(calm.plan()).result == "rejected"
    plan = panicking.plan()
    step = panicking.next_attempt(plan)
    assert step.why == "panic: chosen by weight among 2"
    panicking.succeed(plan, step)
    assert panicking.next_outcome(plan).ok
    assert [(event.router, event.route) for event in panicking.recorder.of("panic_started")] == [
        ("tested", "default")
    ]
    assert not panicking.states.gates[step.member.name].circuit.is_closed


def test_panic_limits_the_share_of_excluded_providers() -> None:
    """Case 57: with panic=0.5 no provider is excluded once fewer than half are closed."""
    world = World([provider(n) for n in "abc"], circuit=FIXED, panic=0.5)
    excluded = []
    for name in "abc":
        world.run_call(name)
        chosen = {world.next_attempt(world.plan()).member.name for _ in range(60)}
        excluded.append(3 - len(chosen))
        world.configure([provider(n) for n in "abc"])
    assert excluded == [1, 0, 0]
    assert max(excluded) <= math.floor(0.5 * 3)


# ── deadlines and hedges ────────────────────────────────────────────────────────────────────────


def test_attempt_deadline_is_bounded_by_the_call() -> None:
    """An attempt's deadline is its own timeout or the call's deadline, whichever is earlier."""
    world = World([provider("a", attempt_timeout=10.0), provider("b", attempt_timeout=math.inf)])
    assert world.next_attempt(world.plan(["a"])).deadline == world.now + 10.0
    assert world.next_attempt(world.plan(["a"], timeout=3.0)).deadline == world.now + 3.0
    endless = world.plan(["b"], timeout=math.inf)
    step = world.next_attempt(endless)
    assert step.deadline == math.inf


def test_trial_lease_outlasts_its_attempt() -> None:
    """A lease outlasts the attempt's timeout, or the open duration when there is no timeout."""
    world = World(
        [provider("a", attempt_timeout=7.0), provider("b", attempt_timeout=math.inf)],
        circuit=FIXED,
    )
    world.half_open("a", "b")
    leases = [world.next_attempt(world.plan([name])).permit.lease_until for name in "ab"]
    assert leases == [world.now + s + LEASE_MARGIN for s in (7.0, FIXED.open_duration)]


def test_hedge_time() -> None:
    """A hedge is due `after` seconds for an idempotent call with another provider."""
    world = pair(hedge=HedgePolicy(after=1.5))
    assert world.next_attempt(world.plan()).hedge_at == world.now + 1.5
    assert world.next_attempt(world.plan(idempotent=False)).hedge_at == math.inf
    assert world.next_attempt(world.plan(["a"])).hedge_at == math.inf
    assert pair().next_attempt(pair().plan()).hedge_at == math.inf


def test_failover_is_hedged_too() -> None:
    """An attempt after a failure is hedged like the first."""
    world = World([provider(n) for n in "abc"], hedge=HedgePolicy(after=1.5))
    plan = world.plan()
    world.fail(plan, world.next_attempt(plan), after=1.0)
    assert world.next_attempt(plan).hedge_at == world.now + 1.5


def test_percentile_hedging_needs_samples() -> None:
    """A percentile hedge waits until enough latencies are known."""
    world = World(
        [provider("a"), provider("b", weight=0)],
        hedge=HedgePolicy(percentile=0.5, minimum_samples=3),
    )
    for _ in range(3):
        plan = world.plan()
        step = world.next_attempt(plan)
        assert step.hedge_at == math.inf
        world.succeed(plan, step, after=2.0)
    assert world.next_attempt(world.plan()).hedge_at - world.now == pytest.approx(2.0, rel=0.1)


# ── demand ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("owner", ["provider", "route", "chain"])
def test_only_an_attempt_counts_as_demand(owner: str) -> None:
    """A call that a limit rejects counts once, for its share of a fleet; reading counts nothing."""
    one = LimitPolicy(in_flight=1)
    own = provider("a", limits=one if owner == "provider" else None)
    world = World([own], [Route("main", ["a"], limits=None if owner == "provider" else one)])
    request = {"model": "m"}
    route = Chain([Target("main", "m")]) if owner == "chain" else "main"
    resolved = world.registry.route("main")
    limits = world.states.gates["a"].limits if owner == "provider" else resolved.limits[0]
    assert isinstance(limits, Limits)
    world.next_attempt(world.plan(route, request=request))
    assert (limits.demand, limits.limited) == (1.0, 0)
    world.next_outcome(world.plan(route, request=request))
    assert (limits.demand, limits.limited) == (2.0, 1)
    snapshot("tested", world.registry.all_routes(), world.now)
    explain(resolved, world.now)
    assert (limits.demand, limits.limited) == (2.0, 1)
