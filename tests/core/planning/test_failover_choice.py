"""The choice after a failure: another failure domain first, half-open providers last."""

from __future__ import annotations

import pytest

from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy, RetryPolicy
from multirouter.core.settings.wait_policy import WaitPolicy
from multirouter.errors import NoProviderAvailable
from tests.core.kit import NEVER_TRIPS, World, provider

TRIPS = CircuitPolicy(failures=1, growth=1, open_duration=5.0)


def by_domain(*tiers: str, circuit: CircuitPolicy = NEVER_TRIPS, **settings: object) -> World:
    """Providers in tiers; the first letter of each name is its failure domain."""
    names = [name for tier in tiers for name in tier.split()]
    route = Route("work", [tier.split() for tier in tiers])
    providers = [provider(name, domains=[name[0]]) for name in names]
    return World(providers, [route], circuit=circuit, **settings)  # type: ignore[arg-type]


def test_another_domain_comes_before_the_next_tier() -> None:
    """After a failure that may concern the whole domain; then the rest of it, in order."""
    world = by_domain("x1", "x2", "y1", "z1")
    names = world.run_attempts(world.plan("work"), "server", "server", "server", "ok")
    assert names == ["x1", "y1", "z1", "x2"]


@pytest.mark.parametrize("kind", ["timeout", "rate_limit"])
def test_a_failure_of_one_model_suspects_no_domain(kind: str) -> None:
    """The next tier is the next choice."""
    world = by_domain("x1", "x2", "y1")
    assert world.run_attempts(world.plan("work"), kind, "ok") == ["x1", "x2"]


def test_a_call_with_one_domain_goes_on_in_it() -> None:
    """Every other provider is suspected, so none is preferred."""
    world = by_domain("x1", "x2", "x3")
    names = world.run_attempts(world.plan("work"), "server", "server", "ok")
    assert names == ["x1", "x2", "x3"]


def test_a_suspected_provider_comes_before_a_trial_in_another_domain() -> None:
    """A half-open provider is used when no other one is left."""
    world = by_domain("x1", "y1", "x2", circuit=TRIPS)
    world.half_open("y1")
    plan = world.plan("work")
    step = world.next_attempt(plan)
    for trial in step.trials:
        plan.abandon(trial)
    world.fail(plan, step)
    assert step.member.name == "x1"
    assert world.next_attempt(plan).member.name == "x2"


def test_an_ineligible_provider_is_no_trial() -> None:
    """A call that it cannot serve leaves its circuit half-open."""
    world = World(
        [provider("a"), provider("b"), provider("vision", capabilities=["vision"])],
        [Route("work", [["b"], ["vision"], ["a"]], requires=lambda request: request)],
        circuit=TRIPS,
    )
    world.half_open("a")
    plan = world.plan("work", request=["vision"])
    assert world.next_attempt(plan).member.name == "vision"


# ── waits ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_waits_for_the_trial_of_another_as_long_as_the_circuit_allows() -> None:
    """Without `wait=`; counted from its own start."""
    policy = CircuitPolicy(failures=1, growth=1, open_duration=5.0, half_open_wait=3.0)
    world = World([provider("a")], circuit=policy, retry=RetryPolicy(attempts=1))
    world.half_open("a")
    world.next_attempt(world.plan(idempotent=False))
    plan = world.plan(idempotent=False)
    step = world.step(plan)
    assert getattr(step, "until", None) == world.now + 3.0


def test_a_call_does_not_wait_for_what_comes_too_late() -> None:
    """It is known that the circuit half-opens in 5 s: 4.9 s are not enough, 5 s are."""
    world = World([provider("a")], circuit=TRIPS)
    world.trip("a")
    assert isinstance(world.next_outcome(world.plan(wait=4.9)).error, NoProviderAvailable)
    assert world.next_wait(world.plan(wait=5.0)).until == world.now + 5.0
    known = WaitPolicy(4.9, only_if_known=True)
    assert isinstance(world.next_outcome(world.plan(wait=known)).error, NoProviderAvailable)
    known = WaitPolicy(5.0, only_if_known=True)
    assert world.next_wait(world.plan(wait=known)).until == world.now + 5.0


def test_time_that_stalls_took_is_given_back() -> None:
    """Each time; but not to a call that does not wait."""
    world = World([provider("a")], circuit=TRIPS)
    world.trip("a")
    plan = world.plan(wait=6.0)
    assert world.next_wait(plan).until == world.now + 6.0
    plan.give_back(1.0)
    plan.give_back(2.0)
    assert world.next_wait(plan).until == world.now + 9.0
    plan.stop_waiting()
    assert isinstance(world.next_outcome(plan).error, NoProviderAvailable)
    hasty = world.plan()
    hasty.give_back(100.0)
    assert isinstance(world.next_outcome(hasty).error, NoProviderAvailable)


def test_tokens_decide_when_a_call_is_ready() -> None:
    """By the limits of the provider and of the route, for the call's own size."""
    tokens = LimitPolicy(tokens_per_minute=600.0, size=lambda request: 1)
    for world in (
        World([provider("a", limits=tokens)], [Route("work", ["a"])]),
        World([provider("a")], [Route("work", ["a"], limits=tokens)]),
    ):
        world.next_attempt(world.plan("work", size=600))
        for size, wait in ((100, 10.0), (300, 30.0)):
            plan = world.plan("work", size=size)
            assert plan.ready_in(world.now) == pytest.approx(wait)
            assert plan.retry_after(world.now) == pytest.approx(wait)
            assert plan.recheck_in(world.now) == pytest.approx(wait)
            too_short = world.plan("work", size=size, wait=wait - 0.1)
            assert isinstance(world.next_outcome(too_short).error, NoProviderAvailable)
            long_enough = world.plan("work", size=size, wait=wait + 0.1)
            assert world.next_wait(long_enough).until == pytest.approx(world.now + wait + 0.1)


def test_the_least_wait_is_known_where_the_time_is_unknown() -> None:
    """The cooldown ends in 7 s at the earliest; what else is missing ends with an attempt."""
    world = World([provider("a", limits=LimitPolicy(in_flight=1))], [Route("work", ["a"])])
    plan = world.plan("work")
    world.next_attempt(plan)
    assert world.plan("work").retry_after(world.now) is None
    assert world.plan("work").recheck_in(world.now) is None
    world.states.gates["a"].cooldown_until = world.now + 7.0
    assert world.plan("work").ready_in(world.now) is None
    assert world.plan("work").retry_after(world.now) == pytest.approx(7.0)
    other = World([provider("a")])
    gone = other.plan()
    other.fail(gone, other.next_attempt(gone), "credentials")
    assert gone.retry_after(other.now) is None


@pytest.mark.parametrize(("cooldown", "ready"), [(3.0, 3.0), (9.0, 5.0)])
def test_a_circuit_of_the_requests_model_half_opens_by_time(cooldown: float, ready: float) -> None:
    """It or another provider, whichever comes first."""
    world = World(
        [provider("a"), provider("b")],
        [Route("work", ["a", "b"])],
        circuit=CircuitPolicy(failures=3, growth=1, open_duration=5.0),
        retry=RetryPolicy(attempts=1),
    )
    for model, outcomes in (("good", ["ok"]), *[("bad", ["server", "ok"])] * 3):
        plan = world.plan("work", request={"model": model})
        world.run_attempts(plan, *outcomes)
        world.next_outcome(plan)
    world.states.gates["b"].cooldown_until = world.now + cooldown
    assert world.plan("work", request={"model": "bad"}).ready_in(world.now) == ready
    assert world.plan("work", request={"model": "good"}).ready_in(world.now) == 0.0
    watch = world.route("work").models
    assert watch is not None
    assert set(watch.excluded({"model": "bad"}, world.now, frozenset({"c"}))) == {"a", "c"}
    assert watch.excluded({"model": "good"}, world.now, frozenset({"c"})) == {"c"}
    assert watch.ready_in({"model": "bad"}, world.now) == 5.0


def test_calls_of_one_class_wait_for_the_same() -> None:
    """Those with attempts are of another class, by what they have attempted and paid."""
    world = World([provider("a"), provider("b")], circuit=TRIPS)
    world.trip("a", "b")
    one, other = world.plan(wait=60.0), world.plan(wait=60.0)
    assert one.wait_class() == other.wait_class()
    assert world.plan(wait=30.0).wait_class() != one.wait_class()
    world.now += 5.0
    failed = []
    for _ in range(2):
        plan = world.plan(["a"], wait=60.0)
        world.fail(plan, world.next_attempt(plan))
        failed.append(plan)
        world.now += 5.0
    assert failed[0].wait_class() == failed[1].wait_class()
    assert failed[0].wait_class() != world.plan(["a"], wait=60.0).wait_class()
