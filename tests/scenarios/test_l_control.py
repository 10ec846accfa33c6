"""Section L: configuration and manual control."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import anyio
import pytest
from prometheus_client import generate_latest

from multirouter import (
    CircuitPolicy,
    ConfigurationError,
    HedgePolicy,
    LimitPolicy,
    NoProviderAvailable,
    Provider,
    RetryPolicy,
    Route,
    UsageError,
)
from multirouter.testing import Answer, Exponential, Outage, ScriptedProvider, chaos
from tests.scenarios.harness import TRIPS_AT_ONCE, harness, scripted


async def test_held_open() -> None:
    """Case 87: not attempted until `unhold`, despite timers; shown in state and metrics."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        env.router.hold("a", "open")
        await anyio.sleep(1000)
        assert (env.state("a"), env.provider_snapshot("a")["hold"]) == ("open", "open")
        assert (env.total("circuit_state"), env.total("available")) == (2, 0)
        rejected = await env.outcome()
        assert isinstance(rejected.error, NoProviderAvailable)
        assert rejected.error.states == {"a": "held open"}
        env.router.unhold("a")
        assert env.state("a") == "half_open"
        assert await env.call() == "a: q"
        assert env.state("a") == "closed"
        assert [event.hold for event in env.recorder.of("hold_changed")] == [
            "open",
            None,
        ]


async def test_hold_outlives_a_pending_timer() -> None:
    """Case 87: a hold set while the circuit is open outlives the pending timer."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        env.router.hold("a", "open")
        await anyio.sleep(30)
        assert env.state("a") == "open"
        assert env.router.explain().tiers[0][0].state == "held open"


async def test_held_closed() -> None:
    """Case 87: attempted whatever its failures, which are cleared by `unhold`."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        env.router.hold("a", "closed")
        await env.fail("a", times=5)
        assert (env.state("a"), env.provider_snapshot("a")["hold"]) == ("closed", "closed")
        env.router.unhold("a")
        assert env.state("a") == "closed"
        assert env.provider_snapshot("a")["failures"] == 0
        await env.fail("a")
        assert env.state("a") == "open"


async def test_held_disabled() -> None:
    """Case 87: attempted, and neither circuit nor window counts anything."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        env.router.hold("a", "disabled")
        await env.fail("a", times=5)
        await env.fail("a", fault="rate_limit")
        await env.call()
        snapshot = env.provider_snapshot("a")
        assert (snapshot["state"], snapshot["calls"], snapshot["hold"]) == ("closed", 0, "disabled")
        env.router.unhold("a")
        assert env.state("a") == "closed"


async def test_held_metrics_only() -> None:
    """Case 87: attempted all the same, while the circuit shows what it would do."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        env.router.hold("a", "metrics_only")
        await env.fail("a")
        assert (env.state("a"), env.total("circuit_state")) == ("open", 2)
        assert await env.call() == "a: q"
        await anyio.sleep(10.1)
        assert env.state("a") == "half_open"
        assert await env.call() == "a: q"
        assert env.state("a") == "closed"
        await env.fail("a")
        env.router.unhold("a")
        assert not (await env.outcome()).ok


async def test_invalid_holds() -> None:
    """Case 87: unknown names and holds raise, with a suggestion."""
    async with harness("openai") as env:
        with pytest.raises(UsageError, match="did you mean 'openai'"):
            env.router.hold("opneai", "open")
        with pytest.raises(UsageError, match="did you mean 'open'"):
            env.router.hold("openai", "opne")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="unknown provider"):
            env.router.unhold("x")


async def test_change_during_calls() -> None:
    """Case 88: each of 100 calls in flight ends under the configuration it started with."""
    slow = [scripted(name, latency=5.0) for name in "ab"]
    async with harness(*slow, circuit=TRIPS_AT_ONCE) as env:
        scripts = {name: env[name] for name in "ab"}
        scripts["a"].then(*["error"] * 30)
        callers = [env.start_soon("a", "b") for _ in range(100)]
        await anyio.sleep(1)
        env.router.update("b", weight=7)
        env.router.add(scripted("c"))
        env.router.update("a", limits=LimitPolicy(in_flight=1))
        env.router.remove("b")
        outcomes = [await caller.end() for caller in callers]
        assert sum(outcome.provider == "b" for outcome in outcomes) == 30
        assert sum(outcome.provider == "a" for outcome in outcomes) == 70
        assert [provider.name for provider in env.router.providers] == ["a", "c"]
        with pytest.raises(UsageError, match="unknown provider 'b'"):
            await env.call("b")
        assert scripts["b"].in_flight == 0


async def test_update_keeps_the_circuit() -> None:
    """Case 88: an update keeps state, generation and half-open time."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        await anyio.sleep(3)
        env.router.update("a", weight=9, circuit=CircuitPolicy(failures=2, open_duration=99))
        assert (env.state("a"), env.circuit("a").generation) == ("open", 1)
        assert env.provider_snapshot("a")["half_open_in"] == pytest.approx(7)
        await anyio.sleep(7)
        assert env.state("a") == "half_open"
        env.router.remove("a")
        env.router.add(scripted("a"))
        assert (env.state("a"), env.circuit("a").generation) == ("closed", 0)


async def test_removed_provider_loses_its_timer() -> None:
    """Case 88: no task is left of a provider that was removed while its circuit was open."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        assert len(env.router._engine.half_open_timers) == 1
        env.router.remove("a")
        await anyio.sleep(0.1)
        assert len(env.router._engine.half_open_timers) == 0
        await anyio.sleep(20)
        assert env.recorder.transitions("a") == ["closed > open"]
        assert env.total("available", provider="a") == 0


async def test_late_result_of_a_removed_provider() -> None:
    """Case 88: an attempt at a removed provider ends as usual."""
    async with harness(scripted("a", latency=5.0), "b", circuit=TRIPS_AT_ONCE) as env:
        provider = env["a"]
        provider.then(Answer(after=5.0), "error")
        good, bad = await env.start("a"), await env.start("a")
        env.router.remove("a")
        assert (await good.end()).ok
        assert not (await bad.end()).ok
        env.router.add(scripted("a"))
        assert env.state("a") == "closed"


INVALID: list[Any] = [
    lambda router: router.add(scripted("a")),
    lambda router: router.update("a", weight=-1),
    lambda router: router.update("a", wieght=1),
    lambda router: router.update("a", name="b"),
    lambda router: router.update("a", weight=0),
    lambda router: router.remove("b"),
    lambda router: router.add("c"),
    lambda router: router.update("x", weight=1),
    lambda router: router.remove("x"),
    lambda router: router.provider("late", weight="much")(ScriptedProvider("late")),
]


@pytest.mark.parametrize("change", INVALID)
async def test_invalid_change_changes_nothing(change: Any) -> None:
    """Case 88: it raises, and the old configuration stays in force as a whole."""
    routes = [Route("named", ["b"])]
    async with harness("a", scripted("b", weight=0), routes=routes) as env:
        before = env.router.snapshot()
        with pytest.raises((ConfigurationError, UsageError)):
            change(env.router)
        assert env.router.snapshot() == before
        assert env.recorder.of("configured") == []
        assert await env.router.call("q", route="named") == "b: q"


async def test_changes_are_reported() -> None:
    """Case 88: each change is one event, and the gauges follow."""
    async with harness("a") as env:
        env.router.add(scripted("b"))
        env.router.update("a", weight=2)
        env.router.remove("a")
        reported = [(c.added, c.removed, c.updated) for c in env.recorder.of("configured")]
        assert reported == [(("b",), (), ()), ((), (), ("a",)), ((), ("a",), ())]
        assert (env.total("available", provider="b"), env.router.names()) == (1, ("b",))


async def test_chaos_faults_are_treated_like_real_ones() -> None:
    """Case 89: off by default; switched on, its faults are classified, counted, failed over."""
    provider = ScriptedProvider("a")
    faulty = chaos(provider, faults=["error"], seed=4)
    async with harness("b", circuit=TRIPS_AT_ONCE) as env:
        env.router.add(Provider("a", faulty))
        for _ in range(50):
            await env.call("a", "b")
        assert (faulty.injected, env["b"].count) == (0, 0)
        faulty.rate = 0.5
        for _ in range(5):
            await env.call("a", "b")
        assert faulty.injected == 1
        assert env.state("a") == "open"
        assert env.total("attempts_total", provider="a", outcome="failure") == 1
        assert env.total("failovers_total", provider="a", reason="server") == 1
        assert env["b"].count > 0


async def run_once() -> tuple[list[Any], str, list[Any]]:
    """One whole scenario with everything in it: its choices, metrics and logs."""
    providers = [
        scripted(name, latency=Exponential(0.3), error_rate=0.2, outages=[Outage(10, 20)], weight=w)
        for name, w in {"a": 3.0, "b": 2.0, "c": 1.0}.items()
    ]
    settings: dict[str, Any] = {
        "hedge": HedgePolicy(percentile=0.9),
        "retry": RetryPolicy(),
        "circuit": CircuitPolicy(failures=2),
        "rng": Random(11),
    }
    async with harness(*providers, **settings) as env:
        start = anyio.current_time()
        for number in range(250):
            env.start_soon(request=number, wait=1.0)
            await anyio.sleep(0.2)
        await anyio.sleep(130)
        attempts = [
            (r.provider, r.role, str(r.verdict.kind), round(r.elapsed, 3), r.why)
            for r in env.recorder.attempts
        ]
        text = generate_latest(env.registry).decode()
        logs = [(level, event, repr(fields)) for level, event, fields in env.logger.entries]
        assert anyio.current_time() - start > 150
    return attempts, re.sub(r".*_created.*\n", "", text), logs


@pytest.mark.backends("asyncio")
def test_seed_determines_the_run(virtual_clock: Any) -> None:
    """Case 90: the same seed, clock and script twice: the same choices, metrics and logs."""
    first, second = virtual_clock.run(run_once), virtual_clock.run(run_once)
    assert len(first[0]) > 120
    assert first[0] == second[0]
    assert first[1] == second[1]
    assert first[2] == second[2]
