"""At the doors: permits, trials as copies or inline, shared limits, panic, and words of choice."""

from __future__ import annotations

import math

import pytest

from multirouter.core.planning.admission import LEASE_MARGIN
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, HedgePolicy, LimitPolicy, RetryPolicy
from tests.core.kit import NEVER_TRIPS, World, provider

FIXED = CircuitPolicy(failures=1, growth=1, open_duration=5.0)


def pair(**settings: object) -> World:
    """Two providers of equal weight whose circuits open at the first failure."""
    return World([provider("a"), provider("b")], circuit=FIXED, **settings)


# ── trials ──────────────────────────────────────────────────────────────────────────────────────


def test_a_trial_is_a_copy_beside_the_call() -> None:
    """Case 21: the next call gives a half-open circuit its trial, and goes elsewhere itself."""
    world = pair()
    world.half_open("a")
    plan = world.plan()
    step = world.trying(plan)
    assert step.member.name == "b"
    assert step.why == "only one; passed over: a on trial"
    (copy,) = step.copies
    assert (copy.member.name, copy.role, copy.permit.trial) == ("a", "trial", True)
    assert copy.why == "trial of a half-open circuit"
    assert world.trying(world.plan()).copies == ()  # the one trial is out
    world.answers(plan, copy)
    assert plan.attempts == []
    assert world.memory.gates["a"].circuit.is_closed
    assert world.heard.attempts[-1].role == "trial"


def test_a_copy_is_not_bound_by_the_call() -> None:
    """A copy has its own attempt's time; the call it stands beside may end before."""
    world = pair(attempt_timeout=30.0)
    world.half_open("a")
    step = world.trying(world.plan(timeout=2.0))
    assert step.deadline == world.now + 2.0
    assert step.copies[0].deadline == world.now + 30.0


def test_a_later_tier_spares_the_caller_the_trial() -> None:
    """In a chain too the caller gets a healthy provider, and the half-open first link a copy."""
    world = pair(routes=[Route("chain", ["a", "b"])])
    world.half_open("a")
    step = world.trying(world.plan("chain"))
    assert step.member.name == "b"
    assert [copy.member.name for copy in step.copies] == ["a"]


def test_nobody_else_is_left() -> None:
    """The caller is the trial when nobody healthy is left, without copies that block the next."""
    world = pair(retry=RetryPolicy(budget_floor=10))
    world.half_open("a", "b")
    plan = world.plan()
    first = world.trying(plan)
    assert (first.member.name, first.permit.trial, first.copies) == ("a", True, ())
    assert first.why == "trial of a half-open circuit"
    world.fails(plan, first)
    second = world.trying(plan)
    assert (second.member.name, second.permit.trial) == ("b", True)
    assert second.why == "failover from a (server); trial of a half-open circuit"
    world.answers(plan, second)
    assert world.ended(plan).provider == "b"


def test_a_call_that_is_not_copied_is_the_trial() -> None:
    """With idempotent=False the call itself is the trial: else nobody would ever try."""
    world = pair()
    world.half_open("a")
    step = world.trying(world.plan(idempotent=False))
    assert (step.member.name, step.permit.trial, step.copies) == ("a", True, ())
    other = world.trying(world.plan(idempotent=False))
    assert other.member.name == "b"


def test_who_has_a_probe_needs_no_trial() -> None:
    """With `health_check=` given no user's request is a trial while anybody else is there."""

    async def health_check() -> None:
        """Never awaited here."""

    world = World([provider("a", health_check=health_check), provider("b")], circuit=FIXED)
    world.half_open("a")
    for idempotent in (True, False):
        step = world.trying(world.plan(idempotent=idempotent))
        assert (step.member.name, step.copies) == ("b", ())
    world.trip("b")
    assert world.trying(world.plan(idempotent=False)).member.name == "a"


def test_copies_are_paid_for() -> None:
    """A budget that is used up leaves the copy out, and the call goes on."""
    world = pair(retry=RetryPolicy(budget_floor=1, budget=0.0))
    world.half_open("a")
    first = world.plan()
    step = world.trying(first)
    assert len(step.copies) == 1
    first.abandon(step.copies[0])
    again = world.trying(world.plan())
    assert (again.member.name, again.copies) == ("b", ())


def test_looking_takes_no_permit() -> None:
    """Case 17: tables, shares and answers of doors take nothing; only the chosen one is taken."""
    world = pair()
    world.half_open("a")
    gate = world.memory.gates["a"]
    for _ in range(50):
        world.route().tiers[0].table(world.now)
        assert gate.admits(world.now)
        assert gate.on_trial(world.now)
    plan = world.plan()
    step = world.trying(plan)
    assert world.in_flight() == {"a": 1, "b": 1}
    assert not gate.admits(world.now)
    plan.abandon(step.copies[0])
    assert gate.admits(world.now)


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_trial_refused_later_gives_its_permit_back(idempotent: bool) -> None:
    """Case 18: a half-open provider whose rate, or route, is full keeps its trial for later."""
    full = LimitPolicy(in_flight=1)
    world = World(
        [provider("a", limits=LimitPolicy(requests_per_minute=1.0, burst=1.0))],
        [Route("narrow", ["a"], limits=full)],
        circuit=FIXED,
    )
    world.half_open("a")
    assert world.ended(world.plan(idempotent=idempotent)).result == "refused"
    assert world.in_flight() == {"a": 0}
    world.now += 60.0
    (shared,) = world.route("narrow").limits
    shared.take(0, world.now)
    assert world.ended(world.plan("narrow", idempotent=idempotent)).result == "refused"
    late = world.plan("narrow", timeout=1.0)
    world.now += 1.0
    assert world.ended(late).result == "failure"
    shared.leave()
    assert world.trying(world.plan("narrow", idempotent=idempotent)).permit.trial


# ── limits ──────────────────────────────────────────────────────────────────────────────────────


def test_who_refuses_at_the_door_is_drawn_no_more() -> None:
    """A full provider is passed over within the same choice, down to the last resort."""
    one = LimitPolicy(in_flight=1)
    world = World(
        [provider("a", weight=5, limits=one), provider("b", limits=one), provider("z", weight=0)],
    )
    names = [world.trying(world.plan()).member.name for _ in range(4)]
    assert sorted(names[:2]) == ["a", "b"]
    assert names[2:] == ["z", "z"]


def test_tiers_are_walked_in_order() -> None:
    """The next tier is asked only when the one before has nobody, its last resort included."""
    one = LimitPolicy(in_flight=1)
    world = World(
        [provider("a", limits=one), provider("z", weight=0, limits=one), provider("b")],
        [Route("chain", [["a", "z"], "b"])],
    )
    names = [world.trying(world.plan("chain")).member.name for _ in range(4)]
    assert names == ["a", "z", "b", "b"]


def test_copies_respect_shared_limits() -> None:
    """A copy takes of the route's limits like any attempt, and is left out when they are full."""
    world = pair(routes=[Route("narrow", [["a", "b"]], limits=LimitPolicy(in_flight=1))])
    world.half_open("a")
    plan = world.plan("narrow")
    step = world.trying(plan)
    (shared,) = world.route("narrow").limits
    assert (step.member.name, step.copies, shared.in_flight) == ("b", (), 1)
    world.answers(plan, step)
    assert shared.in_flight == 0


def test_repeating_respects_shared_limits() -> None:
    """A provider is asked again only when the route's limits have room for that too."""
    route = Route("narrow", ["a"], retries_per_provider=1, limits=LimitPolicy(in_flight=1))
    world = World([provider("a")], [route], circuit=NEVER_TRIPS)
    plan = world.plan("narrow")
    world.fails(plan, world.trying(plan))
    world.rest(plan)
    other = world.plan("narrow")
    hold_changed = world.trying(other)
    world.rest(plan)  # the next round, since nobody could be asked
    other.abandon(hold_changed)
    assert world.trying(plan).why == "again after server"


def test_abandoning_gives_all_back() -> None:
    """An attempt that was never begun leaves no trace in doors and limits."""
    world = pair(
        limits=LimitPolicy(in_flight=3), routes=[Route("r", ["a"], limits=LimitPolicy(in_flight=2))]
    )
    plan = world.plan("r")
    step = world.trying(plan)
    assert [shared.in_flight for shared in world.route("r").limits] == [1, 1]
    plan.abandon(step)
    assert [shared.in_flight for shared in world.route("r").limits] == [0, 0]
    assert world.in_flight() == {"a": 0, "b": 0}


# ── panic ───────────────────────────────────────────────────────────────────────────────────────


def test_panic_is_opt_in_and_counted() -> None:
    """Case 56: with panic mode all are eligible though all are open, and each choice is news."""
    calm, panicking = pair(), pair(panic=0.5)
    for world in (calm, panicking):
        world.trip("a", "b")
    assert world.heard.of("panic_started") == []
    assert calm.ended(calm.plan()).result == "refused"
    plan = panicking.plan()
    step = panicking.trying(plan)
    assert step.why == "panic: drawn by weight among 2"
    panicking.answers(plan, step)
    assert panicking.ended(plan).ok
    assert [(news.router, news.route) for news in panicking.heard.of("panic_started")] == [
        ("tested", "default")
    ]
    assert not panicking.memory.gates[step.member.name].circuit.is_closed


def test_panic_bounds_the_share_that_is_out() -> None:
    """Case 57: with panic=0.5 and 3 of 3 bad, none is kept out once fewer than half are closed."""
    world = World([provider(n) for n in "abc"], circuit=FIXED, panic=0.5)
    out = []
    for name in "abc":
        world.hit(name)
        drawn = {world.trying(world.plan()).member.name for _ in range(60)}
        out.append(3 - len(drawn))
        world.configure([provider(n) for n in "abc"])
    assert out == [1, 0, 0]
    assert max(out) <= math.floor(0.5 * 3)


# ── time and hedges ─────────────────────────────────────────────────────────────────────────────


def test_an_attempt_ends_with_its_call() -> None:
    """An attempt's deadline is its own limit or the call's, whichever is first."""
    world = World([provider("a", attempt_timeout=10.0), provider("b", attempt_timeout=math.inf)])
    assert world.trying(world.plan(["a"])).deadline == world.now + 10.0
    assert world.trying(world.plan(["a"], timeout=3.0)).deadline == world.now + 3.0
    endless = world.plan(["b"], timeout=math.inf)
    step = world.trying(endless)
    assert step.deadline == math.inf


def test_a_trial_is_leased_for_its_attempt() -> None:
    """A trial's lease outlasts the attempt's limit, or the open time where that is endless."""
    world = World(
        [provider("a", attempt_timeout=7.0), provider("b", attempt_timeout=math.inf)],
        circuit=FIXED,
    )
    world.half_open("a", "b")
    leases = [world.trying(world.plan([name])).permit.lease_until for name in "ab"]
    assert leases == [world.now + s + LEASE_MARGIN for s in (7.0, FIXED.open_duration)]


def test_when_a_hedge_is_wanted() -> None:
    """A hedge is wanted `after` seconds, of a call that may be repeated and has somebody else."""
    world = pair(hedge=HedgePolicy(after=1.5))
    assert world.trying(world.plan()).hedge_at == world.now + 1.5
    assert world.trying(world.plan(idempotent=False)).hedge_at == math.inf
    assert world.trying(world.plan(["a"])).hedge_at == math.inf
    assert pair().trying(pair().plan()).hedge_at == math.inf


def test_a_failover_may_be_hedged_too() -> None:
    """Whoever is asked after a failure is watched for slowness like the first."""
    world = World([provider(n) for n in "abc"], hedge=HedgePolicy(after=1.5))
    plan = world.plan()
    world.fails(plan, world.trying(plan), after=1.0)
    assert world.trying(plan).hedge_at == world.now + 1.5


def test_a_percentile_needs_samples() -> None:
    """A percentile hedges nothing until enough answers are known; then it is theirs."""
    world = World(
        [provider("a"), provider("b", weight=0)],
        hedge=HedgePolicy(percentile=0.5, minimum_samples=3),
    )
    for _ in range(3):
        plan = world.plan()
        step = world.trying(plan)
        assert step.hedge_at == math.inf
        world.answers(plan, step, after=2.0)
    assert world.trying(world.plan()).hedge_at - world.now == pytest.approx(2.0, rel=0.1)
