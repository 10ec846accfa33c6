"""Reconfiguration of a router: everything at once, or nothing."""

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
from multirouter.core.cost.budget import Budget
from multirouter.core.cost.price import Price
from tests.scenarios.harness import TRIPS_AT_ONCE, harness, scripted


async def test_everything_changes_in_one_step() -> None:
    """Providers, routes and defaults; the circuits of names that stay keep their state."""
    async with harness("a", "b", routes=[Route("old", ["a"])], circuit=TRIPS_AT_ONCE) as env:
        router = env.router
        await env.fail("a")
        a, _ = router.providers
        router.reconfigure(
            [a.replace(weight=2), scripted("c")],
            [Route("new", ["c", "a"])],
            timeout=7,
            limits=LimitPolicy(in_flight=3),
            circuit=CircuitPolicy(failures=9),
            retry=RetryPolicy(attempts=1),
            panic=0.5,
        )
        snapshot = router.snapshot()
        assert set(snapshot["providers"]) == {"a", "c"}
        assert snapshot["providers"]["a"]["state"] == "open"
        assert set(snapshot["routes"]) == {"default", "new"}
        (event,) = env.recorder.of("configured")
        assert (event.added, event.removed, event.updated) == (("c",), ("b",), ("a",))
        assert (await router.call_outcome("q", route="new")).provider == "c"
        assert (router._defaults.timeout, router._defaults.panic) == (7, 0.5)


async def test_call_in_flight_keeps_its_configuration() -> None:
    """Its provider was removed meanwhile, and still answers it."""
    async with harness(scripted("a", latency=5.0), "b") as env:
        caller = await env.start("a")
        env.router.reconfigure([env.router.providers[1]])
        assert (await caller.end()).provider == "a"
        assert env.router.names() == ("b",)


async def test_settings_left_out_stay_and_none_resets() -> None:
    """Only the settings named are changed."""
    async with harness("a", timeout=9) as env:
        env.router.reconfigure(env.router.providers)
        assert env.router._defaults.timeout == 9
        env.router.reconfigure(
            env.router.providers, timeout=None, retry=None, circuit=None, stream=None, hedge=None
        )
        assert env.router._defaults.timeout == 120
        assert env.router._defaults.retry == RetryPolicy()


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"timeout": 0}, "timeout"),
        ({"attempt_timeout": -1}, "attempt_timeout"),
        ({"panic": 2}, "panic"),
        ({"budget": 3}, "budget"),
        ({"rules": {"nothing": 1}}, "rules"),
        ({"name": "other"}, "reconfigure: unknown setting 'name'"),
    ],
)
async def test_invalid_setting_changes_nothing(settings: dict[str, Any], what: str) -> None:
    """Nor does a setting of the constructor alone."""
    async with harness("a", "b") as env:
        before = env.router._engine.registry
        with pytest.raises(ConfigurationError, match=what):
            env.router.reconfigure(env.router.providers[:1], **settings)
        assert env.router._engine.registry is before


async def test_invalid_route_changes_nothing() -> None:
    """Gates keep their settings too: scratch state is checked first."""
    async with harness(scripted("a", limits=LimitPolicy(in_flight=1)), "b") as env:
        router = env.router
        a, _ = router.providers
        providers = [a.replace(limits=LimitPolicy(in_flight=5)), scripted("c")]
        before = router.snapshot()
        for routes in ([Route("r", ["zzz"])], [Route("r", ["a"], budget=Budget(1))]):
            with pytest.raises(ConfigurationError):
                router.reconfigure(providers, routes, timeout=3)
        assert router.snapshot() == before
        assert router.names() == ("a", "b")
        assert router._engine.states.gates["a"]._limits.policy.in_flight == 1


async def test_budgets_may_change() -> None:
    """The router's budget is another sum from then on; what was spent stays spent."""
    async with harness(scripted("a", price=Price(1, 1))) as env:
        for budget, usd in ((Budget(5), [5]), (Budget(3), [3]), (None, [])):
            env.router.reconfigure(env.router.providers, budget=budget)
            account = env.router._engine.states.accounts.by_owner.get("router")
            snapshot = account.snapshot() if account else []
            assert [one["usd"] for one in snapshot] == usd


async def test_latency_and_retry_policies_may_change() -> None:
    """Latencies and retry budget keep their counts, and use the new policy."""
    async with harness("a", latency=LatencyPolicy(minimum_samples=1)) as env:
        await env.call()
        engine = env.router._engine
        latency = engine.states.latency(
            ("default", "", "call"), "a", LatencyPolicy(minimum_samples=1)
        )
        assert latency.has_enough_samples
        env.router.reconfigure(
            env.router.providers,
            latency=LatencyPolicy(minimum_samples=5),
            retry=RetryPolicy(budget_floor=0, budget=0.0),
        )
        assert (
            engine.states.latency(("default", "", "call"), "a", LatencyPolicy(minimum_samples=5))
            is latency
        )
        assert not latency.has_enough_samples
        assert not engine.context.budget.allows(0.0)
