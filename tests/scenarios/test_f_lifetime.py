"""Section F: half-open timers as tasks, and the lifetime of a router."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import anyio
import pytest

from multirouter import (
    CallOutcome,
    ConfigurationError,
    Provider,
    UsageError,
)
from multirouter.testing import VirtualClock
from tests.scenarios.harness import TRIPS_AT_ONCE, harness, scripted

asyncio_only = pytest.mark.backends("asyncio", "uvloop")


async def test_one_timer_is_pending() -> None:
    """Case 43: opened, closed by hand, opened again: the old timer is gone, the new one fires."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        timers = env.router._engine.half_open_timers
        await env.fail("a")
        await anyio.sleep(4)
        assert len(timers) == 1
        env.router.hold("a", "closed")
        await anyio.sleep(0.01)
        assert len(timers) == 0
        env.router.unhold("a")
        await env.fail("a")
        await anyio.sleep(0.01)
        assert len(timers) == 1
        await anyio.sleep(7)
        assert env.state("a") == "open"
        await anyio.sleep(3)
        assert env.state("a") == "half_open"
        assert env.recorder.transitions("a").count("open > half_open") == 1
        assert len(timers) == 0


async def test_timer_of_an_old_generation_does_nothing() -> None:
    """Case 44: one that was not cancelled in time leaves the new generation alone."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        timers = env.router._engine.half_open_timers
        await anyio.sleep(1)
        timers._timers.pop("a")
        env.router.hold("a", "closed")
        env.router.unhold("a")
        await anyio.sleep(4)
        await env.fail("a")
        await anyio.sleep(5.1)
        assert (env.state("a"), len(timers)) == ("open", 1)
        assert env.recorder.transitions("a").count("open > half_open") == 0


@pytest.mark.parametrize("grace", [math.nan, -1, "5", None])
async def test_an_invalid_grace_closes_nothing(grace: Any) -> None:
    """It is rejected before anything is closed."""
    async with harness("a") as env:
        with pytest.raises(ConfigurationError, match="grace: must be a finite number >= 0"):
            await env.router.aclose(grace=grace)
        assert await env.call() == "a: q"


async def test_close_leaves_nothing() -> None:
    """Case 45: with timers pending and a call in flight: it ends, and no task is left."""
    outcomes: list[CallOutcome[Any]] = []
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        env["b"].then("slow")
        caller = await env.start("b")
        await env.router.aclose()
        outcomes.append(await caller.end())
        await env.router.aclose()
        with pytest.raises(UsageError, match="the router is closed"):
            await env.call()
        with pytest.raises(UsageError, match="the router is closed"):
            async with env.router:
                raise AssertionError
        env.router.explain()
        assert env.router.snapshot()["providers"]["b"]["state"] == "closed"
    assert outcomes[0].ok


async def test_close_waits_for_its_grace() -> None:
    """Case 45: `aclose` waits for calls in flight, but no longer than its grace."""
    async with harness(scripted("a", latency=3.0)) as env:
        short, long = await env.start(), await env.start()
        env["a"].then("hang")
        hanging = await env.start(timeout=20)
        before = anyio.current_time()
        await env.router.aclose(grace=5)
        assert anyio.current_time() - before == pytest.approx(5, abs=0.01)
        assert (short.ended, long.ended, hanging.ended) == (True, True, False)
        assert not (await hanging.end()).ok


async def test_close_ends_with_the_last_call() -> None:
    """Case 45: it does not wait out its grace when nothing is in flight any more."""
    async with harness(scripted("a", latency=3.0)) as env:
        await env.start()
        before = anyio.current_time()
        await env.router.aclose(grace=50)
        assert anyio.current_time() - before == pytest.approx(3, abs=0.1)


async def test_close_cancels_background_trials() -> None:
    """Case 45: a trial that hangs in the background is cancelled, neutral, and leaves nothing."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        env["a"].then("hang")
        await env.call("b", "a")
        await env.call()
        await anyio.sleep(1)
        assert env.router.in_flight("a") == 1
        await env.router.aclose()
        assert env.router.in_flight("a") == 0
        assert env.records("a")[-1].outcome == "cancelled"


async def test_close_returns_the_permit_of_an_unstarted_trial() -> None:
    """Case 45: a background trial that did not start before the close returns its permit."""

    async def immediate(request: object) -> str:
        return "answered"

    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        await env.half_open("a")
        env.router.add(Provider("b", immediate))
        assert await env.call() == "answered"
        assert env.router.in_flight("a") == 1
        await env.router.aclose()
        assert env.router.in_flight("a") == 0
        assert env.state("a") == "half_open"


async def test_close_ends_queued_calls() -> None:
    """Case 45: a queued call ends with a UsageError that says why."""
    async with harness("a") as env:
        env.router.hold("a", "open")
        caller = await env.start(wait=60)
        await env.router.aclose()
        with pytest.raises(UsageError, match="closed while the call was waiting"):
            await caller.end()


async def test_close_closes_the_providers() -> None:
    """Case 45: each `aclose=` is awaited once, and one that raises is logged."""
    closed: list[str] = []

    async def failing() -> None:
        closed.append("a")
        raise OSError("already gone")

    async def working() -> None:
        await anyio.sleep(0)
        closed.append("b")

    async with harness(scripted("a", aclose=failing), scripted("b", aclose=working)) as env:
        await env.router.aclose()
        assert closed == ["a", "b"]
        assert env.logger.of("background task failed")[0]["task"] == "aclose of a"
    assert closed == ["a", "b"]


@asyncio_only
async def test_close_in_a_cancelled_task() -> None:
    """Case 45: a router that closes because its block is cancelled ends its tasks."""
    before = asyncio.all_tasks()
    with anyio.move_on_after(1) as scope:
        async with harness("a", circuit=TRIPS_AT_ONCE) as env:
            await env.fail("a")
            await anyio.sleep(5)
    assert scope.cancelled_caught
    assert asyncio.all_tasks() == before


async def test_router_is_entered_once() -> None:
    """Case 45: entering an open router again raises, and the block goes on."""
    async with harness("a") as env:
        with pytest.raises(UsageError, match="already open"):
            async with env.router:
                raise AssertionError
        assert await env.call() == "a: q"


async def test_half_open_without_traffic() -> None:
    """Case 46: state, gauge and event change at the half-open time, without calls."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        await anyio.sleep(9.99)
        assert (env.state("a"), env.total("circuit_state")) == ("open", 2)
        assert env.total("available") == 0
        await anyio.sleep(0.02)
        assert (env.state("a"), env.total("circuit_state")) == ("half_open", 1)
        assert env.total("available") == 1
        last = env.recorder.of("circuit_changed")[-1]
        assert (last.new, last.reason) == ("half_open", "timer")
        assert last.at - env.recorder.of("circuit_changed")[0].at == pytest.approx(10, abs=0.01)


async def test_blocked_loop_does_not_delay_half_open() -> None:
    """Case 47: the first call after the block sees half-open, though no task has run since."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        await anyio.sleep(1)
        VirtualClock.stall(20)
        assert env.state("a") == "half_open"
        assert await env.call() == "a: q"
        assert env.state("a") == "closed"
        assert env.recorder.transitions("a").count("open > half_open") == 1


async def test_lost_timer_task_changes_nothing() -> None:
    """Case 47: routing is right even when the timer's task is gone."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        env.router._engine.half_open_timers.rebind(None)
        await anyio.sleep(10)
        assert env.state("a") == "half_open"
        assert await env.call() == "a: q"
