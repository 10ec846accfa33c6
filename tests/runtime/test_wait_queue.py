"""Calls that wait for room, and the limits that make them wait."""

from __future__ import annotations

import anyio
import pytest

from multirouter import LimitPolicy, NoProviderAvailable, RetryPolicy, Route
from multirouter.testing import Answer, Fault
from tests.scenarios.kit import BRITTLE, house, play

ONE = LimitPolicy(in_flight=1)


@pytest.mark.parametrize("whose", ["provider", "route", "router"])
async def test_waiting_for_a_rate(whose: str) -> None:
    """A call waits until the rate allows it, whoever's limit it is, and no longer."""
    rate = LimitPolicy(requests_per_minute=30, burst=1 / 30)
    limits = {whose: rate}
    routes = [Route("default", ["a"], limits=limits.get("route"))]
    provider = play("a", limits=limits.get("provider"))
    async with house(provider, routes=routes, limits=limits.get("router")) as home:
        waited = [(await home.router.call_outcome("q", wait=100)).elapsed for _ in range(4)]
        assert waited == pytest.approx([0, 2, 2, 2], abs=0.01)


async def test_waiting_for_a_reset_and_for_the_end_of_a_rest() -> None:
    """A call waits until the circuit half-opens, or the rest after a 429 is over."""
    async with house("a", "b", circuit=BRITTLE) as home:
        await home.fail("a")
        await home.fail("b", fault=Fault("rate_limit", headers={"retry-after": "4"}))
        assert (await home.outcome("a", wait=60)).elapsed == pytest.approx(10, abs=0.1)
        await home.fail("b", fault=Fault("rate_limit", headers={"retry-after": "4"}))
        assert (await home.outcome("b", wait=60)).elapsed == pytest.approx(4, abs=0.1)


async def test_waiting_ends() -> None:
    """After `wait` seconds the call is refused as it would have been at once."""
    async with house("a") as home:
        home.router.hold("a", "open")
        outcome = await home.outcome(wait=3)
        assert isinstance(outcome.error, NoProviderAvailable)
        assert outcome.elapsed == pytest.approx(3, abs=0.01)
        assert outcome.error.retry_after is None


async def test_waiting_ends_with_the_calls_own_time() -> None:
    """`timeout` bounds the waiting too."""
    async with house("a") as home:
        home.router.hold("a", "open")
        outcome = await home.outcome(wait=60, timeout=3)
        assert outcome.elapsed == pytest.approx(3, abs=0.01)


async def test_a_hand_that_lets_in_serves_who_waits() -> None:
    """Calls that wait are served when a provider is released, added or updated."""
    async with house("a") as home:
        home.router.hold("a", "open")
        waiting = await home.begun(wait=60)
        home.router.unhold("a")
        assert (await waiting.end()).elapsed < 1
        home.router.update("a", limits=ONE)
        home["a"].then(Answer(after=30.0), Answer(after=30.0))
        busy = await home.begun()
        waiting = await home.begun(wait=60)
        home.router.update("a", limits=LimitPolicy(in_flight=2))
        await anyio.sleep(0.1)
        assert home["a"].in_flight == 2
        await busy.end()
        await waiting.end()


async def test_waiting_after_a_failure() -> None:
    """A call whose first choice failed for good waits for the one that is out."""
    async with house("a", "b", retry=RetryPolicy()) as home:
        home.router.hold("b", "open")
        home["a"].then(Fault("error", status=404))
        caller = await home.begun("a", "b", wait=60)
        await anyio.sleep(5)
        home.router.unhold("b")
        outcome = await caller.end()
        assert [record.provider for record in outcome.attempts] == ["a", "b"]
        assert outcome.ok


async def test_nobody_to_wait_for() -> None:
    """A call that has nobody left who could ever be asked does not wait."""
    async with house("a", retry=RetryPolicy()) as home:
        home["a"].then(Fault("error", status=404))
        outcome = await home.outcome(wait=60)
        assert (outcome.ok, outcome.elapsed) == (False, 0)


# ── limits ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("whose", ["provider", "route", "router"])
async def test_no_more_in_flight_than_allowed(whose: str) -> None:
    """The limit of provider, route and router each holds; a refused call says which is full."""
    limits = {whose: LimitPolicy(in_flight=3)}
    routes = [Route("default", ["a"], limits=limits.get("route"))]
    provider = play("a", latency=1.0, limits=limits.get("provider"))
    async with house(provider, routes=routes, limits=limits.get("router")) as home:
        callers = [home.begin(route=None) for _ in range(10)]
        outcomes = [await caller.end() for caller in callers]
        assert sum(outcome.ok for outcome in outcomes) == home["a"].most_in_flight == 3
        refused = next(outcome.error for outcome in outcomes if not outcome.ok)
        assert isinstance(refused, NoProviderAvailable)
        assert refused.states == {"a": "full (3 in flight)"}
        assert refused.retry_after is None


async def test_a_full_provider_sends_calls_elsewhere() -> None:
    """Whoever is full is drawn no more, and the others share by their weights."""
    async with house(play("a", latency=5.0, weight=99, limits=ONE), "b") as home:
        callers = [await home.begun() for _ in range(6)]
        await anyio.sleep(5)
        assert all(caller.ended for caller in callers)
        assert (home["a"].count, home["b"].count) == (1, 5)


async def test_all_limits_hold_together() -> None:
    """A provider's, its route's and the router's limits are each kept when all are set."""
    routes = [Route("default", ["a", "b"], limits=LimitPolicy(in_flight=4))]
    providers = [play(n, latency=1.0, limits=LimitPolicy(in_flight=3)) for n in "ab"]
    async with house(*providers, routes=routes, limits=LimitPolicy(in_flight=5)) as home:
        callers = [await home.begun(route=None) for _ in range(9)]
        callers += [await home.begun("b") for _ in range(9)]
        oks = [(await caller.end()).ok for caller in callers]
        assert (sum(oks[:9]), sum(oks[9:])) == (4, 1)
        assert (home["a"].most_in_flight, home["b"].most_in_flight) == (3, 2)


async def test_tokens_per_minute() -> None:
    """Large requests use up more; one larger than the whole bucket passes when it is full."""
    tokens = LimitPolicy(tokens_per_minute=60, size=len)
    async with house(play("a", limits=tokens)) as home:
        assert await home.router.call("x" * 100)
        refused = await home.router.call_outcome("x" * 10)
        assert isinstance(refused.error, NoProviderAvailable)
        assert refused.error.retry_after == pytest.approx(50)
        assert refused.error.states == {"a": "tokens_per_minute used up"}
        await anyio.sleep(50)
        assert await home.router.call("x" * 10)
