"""A router under another configuration, all at once, or under the old one."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import (
    CircuitPolicy,
    ConfigurationError,
    LatencyPolicy,
    LimitPolicy,
    RetryPolicy,
    Route,
)
from multirouter.core.cost.budgets import Budget
from multirouter.core.cost.price import Price
from tests.scenarios.kit import BRITTLE, house, play


async def test_everything_changes_at_one_stroke() -> None:
    """Providers, routes and defaults; the circuits of names that stay keep their state."""
    async with house("a", "b", routes=[Route("old", ["a"])], circuit=BRITTLE) as home:
        router = home.router
        await home.fail("a")
        a, _ = router.providers
        router.reconfigure(
            [a.replace(weight=2), play("c")],
            [Route("new", ["c", "a"])],
            timeout=7,
            limits=LimitPolicy(in_flight=3),
            circuit=CircuitPolicy(failures=9),
            retry=RetryPolicy(attempts=1),
            panic=0.5,
        )
        seen = router.snapshot()
        assert set(seen["providers"]) == {"a", "c"}
        assert seen["providers"]["a"]["state"] == "open"
        assert set(seen["routes"]) == {"default", "new"}
        (news,) = home.news.of("configured")
        assert (news.added, news.removed, news.updated) == (("c",), ("b",), ("a",))
        assert (await router.call_outcome("q", route="new")).provider == "c"
        assert (router._defaults.timeout, router._defaults.panic) == (7, 0.5)


async def test_a_call_in_flight_goes_on_with_what_it_began_with() -> None:
    """Its provider has left meanwhile, and answers it still."""
    async with house(play("a", latency=5.0), "b") as home:
        caller = await home.begun("a")
        home.router.reconfigure([home.router.providers[1]])
        assert (await caller.end()).provider == "a"
        assert home.router.names() == ("b",)


async def test_what_is_left_out_stays_and_none_resets() -> None:
    """Settings are changed by name alone."""
    async with house("a", timeout=9) as home:
        home.router.reconfigure(home.router.providers)
        assert home.router._defaults.timeout == 9
        home.router.reconfigure(
            home.router.providers, timeout=None, retry=None, circuit=None, stream=None, hedge=None
        )
        assert home.router._defaults.timeout == 120
        assert home.router._defaults.retry == RetryPolicy()


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"timeout": 0}, "timeout"),
        ({"attempt_timeout": -1}, "attempt_timeout"),
        ({"panic": 2}, "panic"),
        ({"budget": 3}, "budget"),
        ({"rules": {"nothing": 1}}, "rules"),
        ({"name": "other"}, "reconfigure: no such setting 'name'"),
    ],
)
async def test_a_setting_that_is_refused_changes_nothing(
    settings: dict[str, Any], what: str
) -> None:
    """Nor does one that belongs to the router's birth."""
    async with house("a", "b") as home:
        before = home.router._engine.roster
        with pytest.raises(ConfigurationError, match=what):
            home.router.reconfigure(home.router.providers[:1], **settings)
        assert home.router._engine.roster is before


async def test_a_route_that_is_refused_changes_nothing() -> None:
    """Not even the terms of a door: what fails halfway is tried on strangers first."""
    async with house(play("a", limits=LimitPolicy(in_flight=1)), "b") as home:
        router = home.router
        a, _ = router.providers
        wanted = [a.replace(limits=LimitPolicy(in_flight=5)), play("c")]
        before = router.snapshot()
        for routes in ([Route("r", ["zzz"])], [Route("r", ["a"], budget=Budget(1))]):
            with pytest.raises(ConfigurationError):
                router.reconfigure(wanted, routes, timeout=3)
        assert router.snapshot() == before
        assert router.names() == ("a", "b")
        assert router._engine.memory.gates["a"]._limits.policy.in_flight == 1


async def test_budgets_change_under_way() -> None:
    """What the router may spend is another sum from then on; what was spent stays spent."""
    async with house(play("a", price=Price(1, 1))) as home:
        for budget, usd in ((Budget(5), [5]), (Budget(3), [3]), (None, [])):
            home.router.reconfigure(home.router.providers, budget=budget)
            account = home.router._engine.memory.ledger.accounts.get("router")
            told = account.standing() if account else []
            assert [one["usd"] for one in told] == usd


async def test_the_policies_of_the_past_change_under_way() -> None:
    """Pace and retry budget keep what they have counted, and go by the new policy."""
    async with house("a", latency=LatencyPolicy(minimum_samples=1)) as home:
        await home.call()
        engine = home.router._engine
        latency = engine.memory.latency("default call", "a", LatencyPolicy(minimum_samples=1))
        assert latency.known
        home.router.reconfigure(
            home.router.providers,
            latency=LatencyPolicy(minimum_samples=5),
            retry=RetryPolicy(budget_floor=0, budget=0.0),
        )
        assert (
            engine.memory.latency("default call", "a", LatencyPolicy(minimum_samples=5)) is latency
        )
        assert not latency.known
        assert not engine._commons.budget.allows(0.0)
