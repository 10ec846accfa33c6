"""Chains: the targets of one call are the tiers of one route, each with settings of its own."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.cost.budget import Budget
from multirouter.core.cost.metering import UsageMeter
from multirouter.core.cost.price import Price
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep, WaitStep
from multirouter.core.routes.chain import Chain, Target
from multirouter.core.routes.route import Route
from multirouter.core.settings.failure_rules import RULES
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HedgePolicy,
    LatencyPolicy,
    LimitPolicy,
    RetryPolicy,
)
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import AllProvidersFailed, CallFailed, NoProviderAvailable, UsageError
from multirouter.model import CallOutcome, FailureKind
from tests.core.kit import FIXED, NEVER_TRIPS, World, failing, provider

ONCE = RetryPolicy(attempts=1)
REQUEST = {"model": "m", "messages": []}


def world_of(
    *names: str, circuit: CircuitPolicy = NEVER_TRIPS, routes: Any = None, **more: Any
) -> World:
    """Providers, each on a route of its own name."""
    own = [Route(name, [name]) for name in names] if routes is None else routes
    return World([provider(name) for name in names], own, circuit=circuit, **more)


def chain_of(*targets: Any, **settings: Any) -> Chain:
    """A chain; a name is a target with the route's name as its model."""
    made = [one if isinstance(one, Target) else Target(one, one) for one in targets]
    return Chain(made, **settings)


def plan_of(world: World, chain: Chain, **call: Any) -> Plan:
    """The plan of a call with a chain."""
    return world.plan(chain, request=REQUEST, **call)


def run(world: World, chain: Chain, *outcomes: Any) -> CallOutcome[Any]:
    """Runs a call through these results of its attempts, to its end."""
    plan = plan_of(world, chain)
    world.run_attempts(plan, *outcomes)
    return world.next_outcome(plan)


# -- one call ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rate_limit", "server", "timeout", "credentials", "not_found"])
def test_next_target_is_attempted_at_once(kind: str) -> None:
    """A failure fails over to the next target at the same loop time, and is one failover."""
    world = world_of("a", "b")
    plan = plan_of(world, chain_of("a", "b"))
    world.fail(plan, world.next_attempt(plan), failing(kind, retry_after=8.0))
    step = world.next_attempt(plan)
    assert (step.member.name, step.started) == ("b", world.now)
    world.succeed(plan, step)
    outcome = world.next_outcome(plan)
    assert (outcome.result, outcome.provider, outcome.route) == ("success", "b", "a")
    assert (outcome.failovers, outcome.served_by_first_choice) == (1, False)
    assert [record.target for record in outcome.attempts] == [0, 1]
    assert len(world.recorder.of("failed_over")) == len(world.recorder.of("call_ended")) == 1


def test_one_provider_in_two_targets() -> None:
    """A provider with two models is attempted with both; moving to the second is a failover."""
    world = world_of("a")
    chain = Chain([Target("a", "big"), Target("a", "small"), Target("a", "big")])
    plan = plan_of(world, chain)
    assert world.run_attempts(plan, "server", "ok") == ["a", "a"]
    outcome = world.next_outcome(plan)
    assert [record.model for record in outcome.attempts] == ["big", "small"]
    assert outcome.attempts[1].why.startswith("failover from a (server)")
    assert (outcome.failovers, outcome.served_by_first_choice) == (1, False)
    assert [member.key for member in plan.route.members] == ["a", "a (small)"]
    assert len({member.gate for member in plan.route.members}) == 1


def test_only_some_providers() -> None:
    """The other providers of the routes are left out; what the caller chose is no diversion."""
    world = World(
        [provider(name) for name in "abc"], [Route("r", [["a"], ["b"]]), Route("s", ["c"])]
    )
    chain = Chain([Target("s"), Target("r")], only=["b"])
    outcome = run(world, chain, "ok")
    assert (outcome.provider, outcome.served_by_first_choice) == ("b", True)
    assert not world.recorder.of("route_diverted")
    assert chain != Chain(chain.targets)
    with pytest.raises(UsageError, match="route 's': must have a provider of only=: b, x"):
        world.route(Chain([Target("s")], only=["x", "b"]))
    with pytest.raises(UsageError, match="must have a provider of only=: no provider"):
        world.route(Chain([Target("s")], only=[]))


def test_keys_are_unique() -> None:
    """A provider's own model beside one that a target names."""
    world = world_of("a")
    members = world.route(
        Chain([Target("a", "x"), Target("a"), Target("a", "its own model")])
    ).members
    keys = ["a", "a (its own model)", "a (its own model) (its own model)"]
    assert [member.key for member in members] == keys


async def test_each_target_names_its_model() -> None:
    """The request of each target has its model; a target without one leaves the request alone."""
    seen = []

    async def call(request: Any) -> Any:
        seen.append(request["model"])

    world = World([provider("a").replace(call=call)])
    for member in world.route(Chain([Target(("a",), "x"), Target(("a",))])).members:
        await member.call(REQUEST)
    assert seen == ["x", "m"]


def test_single_attempt_at_a_later_target_is_not_the_first_choice() -> None:
    """The first target's provider answers as the second target, as its own model is open."""
    world = world_of("a", circuit=CircuitPolicy(failures=1), retry=ONCE)
    chain = Chain([Target("a", "big"), Target("a", "small")])
    run(world, chain, "server", "ok")
    outcome = run(world, chain, "ok")
    assert [record.model for record in outcome.attempts] == ["small"]
    assert (outcome.provider, outcome.served_by_first_choice) == ("a", False)
    assert run(world_of("a", "b"), chain_of("a", "b"), "ok").served_by_first_choice


def test_retries_come_after_all_targets() -> None:
    """The second round begins at the first target again, after the backoff."""
    world = world_of("a", "b")
    plan = plan_of(world, chain_of("a", "b"))
    assert world.run_attempts(plan, "server", "overloaded") == ["a", "b"]
    assert world.pass_wait(plan) > 0
    assert world.next_attempt(plan).member.name == "a"


def test_resolved_chains_are_kept() -> None:
    """Equal chains are resolved once; the memory for them is bounded; a fork forgets them."""
    world = world_of("a", "b")
    chain = chain_of("a", "b")
    found = world.route(chain)
    assert world.route(chain_of("a", "b")) is found
    assert world.registry.route(chain, streaming=False) is found
    long = chain_of(Target("a", "x" * 5000), "b")
    assert world.route(long) is not world.route(long)
    for number in range(300):
        world.route(chain_of("a", Target("b", str(number))))
    assert world.route(chain) is not found
    use = world.registry.forget_calls()
    assert world.route(chain).use is use


# -- when the next target is tried ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "goes_on"),
    [
        (503, "overloaded", True),
        (504, "server", False),
        (401, "credentials", False),
        (None, "transport", True),
        (None, "timeout", True),
        (400, "request", False),
        (None, "request", False),
    ],
)
def test_statuses_are_compared_with_answers_alone(
    status: int | None, kind: str, goes_on: bool
) -> None:
    """Listed statuses lead on, others do not; a failure without an answer does in any case."""
    world = world_of("a", "b", retry=ONCE)
    plan = plan_of(world, chain_of("a", "b", statuses=[429, 503]))
    world.fail(plan, world.next_attempt(plan), failing(kind, status=status))
    step = world.step(plan)
    if goes_on:
        assert isinstance(step, AttemptStep)
        assert step.member.name == "b"
    else:
        assert isinstance(step, CallOutcome)
        assert [record.provider for record in step.attempts] == ["a"]


def test_listed_fault_of_the_request_leads_on() -> None:
    """A 400 that the caller lists goes to the next target, not to others of the same one."""
    routes = [Route("a", [["a", "c"]]), Route("b", ["b"])]
    world = world_of("a", "b", "c", routes=routes, retry=ONCE)
    plan = plan_of(world, chain_of("a", "b", statuses=[400]))
    world.fail(plan, world.next_attempt(plan), failing("request", status=400))
    step = world.next_attempt(plan)
    assert step.member.name == "b"
    error = world.fail(plan, step, failing("request", status=400))
    assert world.next_outcome(plan).error is error


@pytest.mark.parametrize("kind", ["request", "content_filter"])
def test_fault_of_the_request_ends_the_call(kind: str) -> None:
    """Without statuses, what every target would reject is the caller's own error."""
    world = world_of("a", "b")
    plan = plan_of(world, chain_of("a", "b"))
    error = world.fail(plan, world.next_attempt(plan), kind)
    assert world.next_outcome(plan).error is error


def test_refusal_leads_on() -> None:
    """A refusal ends a route by its rule; another model may answer."""
    assert run(world_of("a", "b"), chain_of("a", "b"), "refusal", "ok").provider == "b"


def test_newest_failure_decides() -> None:
    """Within a target its route fails over; its newest failure decides about the next target."""
    routes = [Route("a", ["a", "c"]), Route("b", ["b"])]
    for first, second, last in ((504, 503, "b"), (503, 504, None)):
        world = world_of("a", "b", "c", routes=routes, retry=ONCE)
        plan = plan_of(world, chain_of("a", "b", statuses=[503]))
        for status, name in ((first, "a"), (second, "c")):
            step = world.next_attempt(plan)
            assert step.member.name == name
            world.fail(plan, step, failing("server", status=status))
        step = world.step(plan)
        if last is None:
            assert isinstance(step, CallOutcome)
            assert isinstance(step.error, AllProvidersFailed)
        else:
            assert isinstance(step, AttemptStep)
            assert step.member.name == last


def test_routes_own_rules_apply_within_its_target() -> None:
    """`on=` and `rules` of a target's route decide there; the chain leads on after them."""
    routes = [
        Route("a", ["a", "c"], on=[429]),
        Route("b", ["b"], rules={"server": RULES[FailureKind.REQUEST]}),
    ]
    world = world_of("a", "b", "c", routes=routes, retry=ONCE)
    plan = plan_of(world, chain_of("a", "b"))
    world.fail(plan, world.next_attempt(plan), "server")
    step = world.next_attempt(plan)
    assert step.member.name == "b"
    error = world.fail(plan, step, "server")
    assert world.next_outcome(plan).error is error


# -- timeouts ------------------------------------------------------------------------------------


def test_timeout_of_a_target_opens_circuits() -> None:
    """A target's timeout is an attempt timeout: three of them open the provider's circuit."""
    world = world_of("a", "b", circuit=FIXED)
    chain = chain_of(Target("a", "m", 6.0), "b")
    for _ in range(3):
        plan = plan_of(world, chain)
        step = world.next_attempt(plan)
        assert step.deadline == world.now + 6.0
        world.fail(plan, step, "timeout", after=6.0)
        world.succeed(plan, world.next_attempt(plan))
        world.next_outcome(plan)
    assert world.recorder.transitions("a") == ["closed > open"]
    assert run(world, chain, "ok").provider == "b"


@pytest.mark.parametrize("seconds", [None, 0.5])
def test_timeout_below_the_usual_latency_says_nothing(seconds: float | None) -> None:
    """A caller's very short timeout opens no circuit: of an unknown provider, or a slower one."""
    world = world_of("a", "b", circuit=FIXED, latency=LatencyPolicy(minimum_samples=4))
    if seconds is None:
        seconds = 2.0
        for _ in range(40):
            plan = world.plan("a")
            world.succeed(plan, world.next_attempt(plan), after=5.0)
            world.next_outcome(plan)
    chain = chain_of(Target("a", "m", seconds), "b")
    for _ in range(10):
        plan = plan_of(world, chain)
        world.fail(plan, world.next_attempt(plan), "timeout", after=seconds)
        world.succeed(plan, world.next_attempt(plan))
        world.next_outcome(plan)
    assert world.recorder.transitions("a") == []
    assert not world.member("a", "a").latency.drift


def test_only_a_timeout_before_any_content_says_nothing() -> None:
    """Another failure within the very short timeout counts, and so does one after content."""
    for end, serves in (("server", False), ("timeout", True)):
        world = world_of("a", "b", circuit=FIXED)
        for _ in range(3):
            plan = plan_of(world, chain_of(Target("a", "m", 0.5), "b"))
            step = world.next_attempt(plan)
            if serves:
                plan.begin_serving(step, world.now)
            world.fail(plan, step, end, after=0.25)
        assert world.recorder.transitions("a") == ["closed > open"], end


def test_timeout_of_the_call() -> None:
    """The call's own timeout replaces that of the routes."""
    world = world_of("a", "b")
    assert plan_of(world, chain_of("a", "b"), timeout=3.0).deadline == world.now + 3.0


def test_operators_shorter_timeout_counts() -> None:
    """A provider's own timeout is the limit when it is the shorter one, and counts."""
    providers = [provider("a", attempt_timeout=0.5), provider("b")]
    world = World(providers, [Route("a", ["a"]), Route("b", ["b"])], circuit=FIXED)
    for _ in range(3):
        plan = plan_of(world, chain_of(Target("a", "m", 6.0), "b"))
        step = world.next_attempt(plan)
        assert step.deadline == world.now + 0.5
        world.fail(plan, step, "timeout", after=0.5)
        world.succeed(plan, world.next_attempt(plan))
    assert world.recorder.transitions("a") == ["closed > open"]


# -- settings of the targets ---------------------------------------------------------------------


def test_settings_of_the_call() -> None:
    """The first target's settings, the longest timeout and the first fallback."""
    retry, hedge = RetryPolicy(attempts=2), HedgePolicy(after=1.0)
    routes = [
        Route("a", ["a"], retry=retry, hedge=hedge, timeout=5.0),
        Route("b", ["b"], timeout=9.0, fallback="b's", accept=bool, retries_per_provider=2),
    ]
    route = world_of("a", "b", routes=routes).route(chain_of("a", "b"))
    assert (route.retry, route.hedge, route.timeout, route.fallback) == (retry, hedge, 9.0, "b's")
    first, second = (member.rules.accept for member in route.members)
    assert (first, second is not None and second(0, REQUEST)) == (None, False)
    assert [member.rules.retries_per_provider for member in route.members] == [0, 2]


def test_limits_of_each_target() -> None:
    """A target at the limit of its route is passed over; each attempt counts at its own target."""
    routes = [
        Route("a", ["a"], limits=LimitPolicy(in_flight=1)),
        Route("b", ["b"], limits=LimitPolicy(requests_per_minute=60, burst=1 / 60)),
    ]
    world = world_of("a", "b", routes=routes, limits=LimitPolicy(in_flight=9))
    chain = chain_of("a", "b")
    plans = [plan_of(world, chain) for _ in range(3)]
    steps = [world.next_attempt(plan) for plan in plans[:2]]
    assert [step.member.name for step in steps] == ["a", "b"]
    error = world.next_outcome(plans[2]).error
    assert isinstance(error, NoProviderAvailable)
    assert error.states == {
        "a": "at its limit (1 in flight)",
        "b": "requests_per_minute used up",
    }
    waiting = plan_of(world, chain, wait=2.0)
    assert isinstance(world.step(waiting), WaitStep)
    assert waiting.ready_in(world.now) is None
    assert waiting.recheck_in(world.now) == pytest.approx(1.0)
    assert waiting.wait_class() == plan_of(world, chain, wait=2.0).wait_class()
    world.succeed(plans[0], steps[0])
    assert world.next_attempt(waiting).member.name == "a"


def test_token_limits_of_each_target() -> None:
    """The size of the request counts at the limits of each target's route."""
    routes = [
        Route("a", ["a"], limits=LimitPolicy(tokens_per_minute=600, size=len, burst=1 / 60)),
        Route("b", ["b"]),
    ]
    world = world_of("a", "b", routes=routes)
    for size, served in ((10, "a"), (1, "b")):
        plan = plan_of(world, chain_of("a", "b"), size=size)
        step = world.next_attempt(plan)
        assert step.member.name == served
        assert step.why


def test_no_candidate_is_left() -> None:
    """A call for which no candidate is left never becomes ready."""
    world = world_of("a", "b", retry=ONCE)
    plan = plan_of(world, chain_of("a", "b"))
    world.run_attempts(plan, "credentials", "credentials")
    assert isinstance(world.next_outcome(plan).error, CallFailed)
    assert plan.ready_in(world.now) is None


def test_hedges_stay_within_the_target() -> None:
    """A slow attempt is hedged by others of its target, not by another model."""
    routes = [Route("a", [["a", "c"]], hedge=HedgePolicy(after=1.0)), Route("b", ["b"])]
    world = world_of("a", "b", "c", routes=routes)
    plan = plan_of(world, chain_of("a", "b"))
    slow = world.next_attempt(plan)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    assert {slow.member.name, hedge.member.name} == {"a", "c"}
    assert plan.hedge(slow, world.now) is None


def test_prices_and_budgets_of_each_target() -> None:
    """Each attempt costs the price of its model, at the account of its route."""
    prices = {"big": Price(10, 10), "small": Price(1, 1)}
    routes = [
        Route("a", ["a"], budget=Budget(100, per="day")),
        Route("b", ["a"], budget=Budget(200, per="day")),
    ]
    world = World([provider("a", price=prices)], routes, circuit=NEVER_TRIPS)
    chain = Chain([Target("a", "big"), Target("b", "small")])
    usage = {"usage": {"prompt_tokens": 10**6, "completion_tokens": 0, "total_tokens": 10**6}}
    plan = plan_of(world, chain)
    world.fail(plan, world.next_attempt(plan), "server")
    world.succeed(plan, world.next_attempt(plan), usage)
    outcome = world.next_outcome(plan)
    assert (outcome.cost, outcome.failover_cost) == (1.0, -9.0)
    plan = plan_of(world, chain)
    world.succeed(plan, world.next_attempt(plan), usage)
    outcome = world.next_outcome(plan)
    assert (outcome.cost, outcome.failover_cost) == (10.0, 0.0)
    accounts = world.states.accounts.by_owner
    spent = {owner: account.snapshot()[0]["spent"] for owner, account in accounts.items()}
    assert spent == {"route a": 10.0, "route b": 1.0}


def test_streams_of_a_chain_are_billed_by_what_they_reported() -> None:
    """By the model of the target, or that of the request where the target names none."""
    prices = {"big": Price(10, 10), "m": Price(1, 1)}
    world = World([provider("a", price=prices)], [Route("a", ["a"])], circuit=NEVER_TRIPS)
    used = {"usage": {"prompt_tokens": 10**6, "completion_tokens": 0}}
    for target, cost in ((Target("a", "big"), 10.0), (Target("a"), 1.0)):
        plan = plan_of(world, Chain([target]))
        step = world.next_attempt(plan)
        step.meter = UsageMeter(step.member.pricing)
        step.meter.record(used, StreamPolicy().reader(used))
        plan.begin_serving(step, world.now)
        world.succeed(plan, step, None)
        assert world.next_outcome(plan).cost == cost
    plan = plan_of(world, Chain([Target("a", "big")]), size=10**5)
    world.succeed(plan, world.next_attempt(plan), "")
    assert world.next_outcome(plan).cost == 1.0


def test_eligibility_of_each_target() -> None:
    """Capabilities are checked by each target's own function, sizes over all candidates."""
    vision = {"requires": lambda _: ["vision"]}
    providers = [
        provider("a"),
        provider("b", capabilities=["vision"]),
        provider("c", context_window=10),
        provider("d", context_window=10_000),
    ]
    routes = [Route("a", ["a"], **vision), Route("b", [["b", "a"]], **vision)]
    routes += [Route("c", ["c"]), Route("d", ["d"]), Route("plain", ["a"])]
    world = World(providers, routes)
    long = {"messages": [{"role": "user", "content": "x" * 400}]}
    for targets, request, left in (
        (("a", "b"), REQUEST, ["b"]),
        (("c", "d"), long, ["d"]),
        (("c", "plain"), long, ["a"]),
        (("a", "d"), long, ["d"]),
        (("plain", "plain"), long, ["a"]),
    ):
        plan = world.plan(chain_of(*(Target(name) for name in targets)), request=request)
        names = [world.next_attempt(plan).member.name]
        assert names == left
    resolved = world.route(chain_of(Target("a"), Target("c")))
    assert resolved.eligibility is not None
    assert resolved.eligibility.reasons(long) == {"a": "lacks vision"}
    plan = world.plan(chain_of(Target("a")), request=REQUEST)
    assert "lacks vision" in str(world.next_outcome(plan).error)
