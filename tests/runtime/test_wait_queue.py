"""Calls that wait for free capacity, and the limits that make them wait."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest

from multirouter import LimitPolicy, NoProviderAvailable, RetryPolicy, Route
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import Step
from multirouter.testing import Answer, Fault
from tests.scenarios.harness import TRIPS_AT_ONCE, Caller, Harness, harness, scripted

ONE = LimitPolicy(in_flight=1)


@pytest.mark.parametrize("owner", ["provider", "route", "router"])
async def test_a_call_waits_for_a_rate_limit(owner: str) -> None:
    """A call waits until the rate limit of provider, route or router allows it, and no longer."""
    rate = LimitPolicy(requests_per_minute=30, burst=1 / 30)
    limits = {owner: rate}
    routes = [Route("default", ["a"], limits=limits.get("route"))]
    provider = scripted("a", limits=limits.get("provider"))
    async with harness(provider, routes=routes, limits=limits.get("router")) as env:
        waited = [(await env.router.call_outcome("q", wait=100)).elapsed for _ in range(4)]
        assert waited == pytest.approx([0, 2, 2, 2], abs=0.01)


async def test_a_call_waits_for_half_open_and_for_the_end_of_a_cooldown() -> None:
    """A call waits until the circuit half-opens, or the cooldown after a 429 is over."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        await env.fail("b", fault=Fault("rate_limit", headers={"retry-after": "4"}))
        assert (await env.outcome("a", wait=60)).elapsed == pytest.approx(10, abs=0.1)
        await env.fail("b", fault=Fault("rate_limit", headers={"retry-after": "4"}))
        assert (await env.outcome("b", wait=60)).elapsed == pytest.approx(4, abs=0.1)


async def test_wait_bounds_the_waiting() -> None:
    """After `wait` seconds the call is rejected as it would have been at once."""
    async with harness("a") as env:
        env.router.hold("a", "open")
        outcome = await env.outcome(wait=3)
        assert isinstance(outcome.error, NoProviderAvailable)
        assert outcome.elapsed == pytest.approx(3, abs=0.01)
        assert outcome.error.retry_after is None


async def test_timeout_bounds_the_waiting() -> None:
    """`timeout` bounds the waiting too."""
    async with harness("a") as env:
        env.router.hold("a", "open")
        outcome = await env.outcome(wait=60, timeout=3)
        assert outcome.elapsed == pytest.approx(3, abs=0.01)


async def test_changes_by_the_user_serve_waiting_calls() -> None:
    """Waiting calls are served when a hold is released or limits are raised."""
    async with harness("a") as env:
        env.router.hold("a", "open")
        waiting = await env.start(wait=60)
        env.router.unhold("a")
        assert (await waiting.end()).elapsed < 1
        env.router.update("a", limits=ONE)
        env["a"].then(Answer(after=30.0), Answer(after=30.0))
        busy = await env.start()
        waiting = await env.start(wait=60)
        env.router.update("a", limits=LimitPolicy(in_flight=2))
        await anyio.sleep(0.1)
        assert env["a"].in_flight == 2
        await busy.end()
        await waiting.end()


async def test_a_call_waits_after_a_permanent_failure() -> None:
    """A call owner first choice failed for good waits for the provider that is held open."""
    async with harness("a", "b", retry=RetryPolicy()) as env:
        env.router.hold("b", "open")
        env["a"].then(Fault("error", status=404))
        caller = await env.start("a", "b", wait=60)
        await anyio.sleep(5)
        env.router.unhold("b")
        outcome = await caller.end()
        assert [record.provider for record in outcome.attempts] == ["a", "b"]
        assert outcome.ok


async def test_a_call_without_candidates_does_not_wait() -> None:
    """A call that no provider can ever serve fails at once."""
    async with harness("a", retry=RetryPolicy()) as env:
        env["a"].then(Fault("error", status=404))
        outcome = await env.outcome(wait=60)
        assert (outcome.ok, outcome.elapsed) == (False, 0)


# ── limits ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("owner", ["provider", "route", "router"])
async def test_in_flight_limits_hold(owner: str) -> None:
    """The limit of provider, route and router each holds; a rejected call names the limit."""
    limits = {owner: LimitPolicy(in_flight=3)}
    routes = [Route("default", ["a"], limits=limits.get("route"))]
    provider = scripted("a", latency=1.0, limits=limits.get("provider"))
    async with harness(provider, routes=routes, limits=limits.get("router")) as env:
        callers = [env.start_soon(route=None) for _ in range(10)]
        outcomes = [await caller.end() for caller in callers]
        assert sum(outcome.ok for outcome in outcomes) == env["a"].max_in_flight == 3
        rejected = next(outcome.error for outcome in outcomes if not outcome.ok)
        assert isinstance(rejected, NoProviderAvailable)
        assert rejected.states == {"a": "at its limit (3 in flight)"}
        assert rejected.retry_after is None


async def test_a_provider_at_its_limit_is_not_chosen() -> None:
    """The other providers share the calls by their weights."""
    async with harness(scripted("a", latency=5.0, weight=99, limits=ONE), "b") as env:
        callers = [await env.start() for _ in range(6)]
        await anyio.sleep(5)
        assert all(caller.ended for caller in callers)
        assert (env["a"].count, env["b"].count) == (1, 5)


async def test_all_limits_hold_together() -> None:
    """The limits of a provider, its route and the router are each kept when all are set."""
    routes = [Route("default", ["a", "b"], limits=LimitPolicy(in_flight=4))]
    providers = [scripted(n, latency=1.0, limits=LimitPolicy(in_flight=3)) for n in "ab"]
    async with harness(*providers, routes=routes, limits=LimitPolicy(in_flight=5)) as env:
        callers = [await env.start(route=None) for _ in range(9)]
        callers += [await env.start("b") for _ in range(9)]
        oks = [(await caller.end()).ok for caller in callers]
        assert (sum(oks[:9]), sum(oks[9:])) == (4, 1)
        assert (env["a"].max_in_flight, env["b"].max_in_flight) == (3, 2)


async def test_tokens_per_minute_limits_large_requests() -> None:
    """Large requests use up more; one larger than the whole bucket is admitted when it is full."""
    tokens = LimitPolicy(tokens_per_minute=60, size=len)
    async with harness(scripted("a", limits=tokens)) as env:
        assert await env.router.call("x" * 100)
        rejected = await env.router.call_outcome("x" * 10)
        assert isinstance(rejected.error, NoProviderAvailable)
        assert rejected.error.retry_after == pytest.approx(50)
        assert rejected.error.states == {"a": "tokens_per_minute used up"}
        await anyio.sleep(50)
        assert await env.router.call("x" * 10)


# ── cost ──────────────────────────────────────────────────────────────────────────────────────────


class Steps:
    """Counts the steps that waiting calls' plans are asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        original = Plan.next_step

        def next_step(plan: Plan, now: float) -> Step:
            self.count += 1
            return original(plan, now)

        monkeypatch.setattr(Plan, "next_step", next_step)


async def waiting_calls(env: Harness, number: int, *route: str, **options: Any) -> list[Caller]:
    callers = [env.start_soon(*route, **options) for _ in range(number)]
    await anyio.sleep(0)
    await anyio.sleep(0)
    return callers


@pytest.mark.parametrize("route", [(), ("a",)], ids=["configured", "ad hoc"])
async def test_a_refill_costs_as_many_plans_as_it_serves(
    monkeypatch: pytest.MonkeyPatch, route: tuple[str, ...]
) -> None:
    """However many calls wait for a rate, each refill asks the one it serves and one more."""
    rate = LimitPolicy(requests_per_minute=60, burst=1 / 60)
    async with harness(scripted("a", limits=rate)) as env:
        await env.call()
        callers = await waiting_calls(env, 200, *route, wait=1000, timeout=1000)
        steps = Steps(monkeypatch)
        await anyio.sleep(20.5)
        assert sum(caller.ended for caller in callers) == 20
        # One plan that is served and one that is not, when it refills and when the call ends; and
        # the plan of each call that ended.
        assert steps.count <= 5 * 20
        for caller in callers:
            await caller.cancel()


async def test_an_end_costs_as_many_plans_as_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for calls that wait for the end of others, whatever the size of the queue."""
    async with harness(scripted("a", latency=1.0, limits=LimitPolicy(in_flight=4))) as env:
        steps = Steps(monkeypatch)
        callers = await waiting_calls(env, 200, wait=1000, timeout=1000)
        await anyio.sleep(50.5)
        assert all(caller.ended for caller in callers)
        assert steps.count <= 6 * 200


async def test_calls_of_many_sizes_are_as_cheap_as_those_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The queue asks when time lets the smallest start, and not all others, at each arrival."""
    tokens = LimitPolicy(tokens_per_minute=60_000, burst=1 / 60, size=int)
    async with harness(scripted("a", limits=tokens)) as env:
        await env.router.call(1000)
        asked: list[float] = []
        original = Plan.recheck_in

        def recheck_in(plan: Plan, now: float) -> float | None:
            asked.append(now)
            return original(plan, now)

        monkeypatch.setattr(Plan, "recheck_in", recheck_in)
        sizes = [500 + number for number in range(200)]
        async with anyio.create_task_group() as group:
            for size in sizes:
                group.start_soon(partial(env.router.call_outcome, size, wait=1000, timeout=1000))
        assert len(env.records("a")) == 201
        assert len(asked) <= 6 * 200


async def test_the_longest_wait_goes_first_across_groups() -> None:
    """Calls of different routes and sizes are served in the order of their arrival."""
    tokens = LimitPolicy(tokens_per_minute=60, size=len)
    routes = [Route("default", ["a"]), Route("other", ["a"])]
    async with harness(scripted("a", limits=tokens), routes=routes) as env:
        await env.router.call("x" * 60)
        served: list[int] = []

        async def call(number: int, request: str, route: str) -> None:
            await env.router.call(request, route=route, wait=1000, timeout=1000)
            served.append(number)

        for number in range(30):
            size, route = (5, 3, 4)[number % 3], ("default", "other")[number % 2]
            env.group.start_soon(call, number, "x" * size, route)
            await anyio.sleep(0)
        await anyio.sleep(200)
        assert sorted(served) == list(range(30))
        for size in range(3):
            of_size = [number for number in served if number % 3 == size]
            assert of_size == sorted(of_size), "calls that are alike keep their order"


async def test_a_small_call_passes_a_large_one_that_cannot_start() -> None:
    """What a large waiting call cannot use goes to a smaller one behind it."""
    tokens = LimitPolicy(tokens_per_minute=60, size=len)
    async with harness(scripted("a", limits=tokens)) as env:
        await env.router.call("x" * 60)
        large = await env.start(request="x" * 50, wait=100)
        small = await env.start(request="x" * 5, wait=100)
        assert (await small.end()).elapsed == pytest.approx(5, abs=0.05)
        assert (await large.end()).elapsed == pytest.approx(55, abs=0.05)


async def test_a_strategy_that_changes_something_meanwhile_does_no_harm() -> None:
    """A strategy that frees capacity while waiting calls are served leaves no permit behind."""
    env: Harness

    class Meddling:
        def prepare(self, members: Any) -> Any:
            def choose(members: Any, context: Any) -> Any:
                env.router.hold("b", "open")
                env.router.unhold("b")
                return members[0]

            return choose

    one = LimitPolicy(in_flight=1)
    routes = [Route("default", [["a", "b"]], strategy=Meddling())]
    providers = [scripted(name, latency=1.0, limits=one) for name in "ab"]
    async with harness(*providers, routes=routes) as env:
        callers = [env.start_soon(route=None, wait=100) for _ in range(12)]
        for caller in callers:
            assert (await caller.end()).ok
        assert (env["a"].max_in_flight, env["b"].max_in_flight) == (1, 1)


async def test_a_cancelled_call_passes_its_step_on() -> None:
    """A call that is cancelled when it was just served gives its permit to the next one."""
    async with harness(scripted("a", latency=1.0, limits=ONE)) as env:
        first, second, third = [env.start_soon(wait=60) for _ in range(3)]
        await anyio.sleep(0.5)
        await first.cancel()
        second._scope.cancel()
        await anyio.sleep(0.1)
        assert env["a"].in_flight == 1
        assert (await third.end()).ok
        assert second.ended
