"""Section F: resets as tasks, and the life of a router."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    CallOutcome,
    CircuitPolicy,
    MultiProviderRouter,
    Provider,
    RetryPolicy,
    UsageError,
)
from multirouter.testing import VirtualClock
from tests.scenarios.kit import BRITTLE, STEADY, Logger, house, play, suspend

asyncio_only = pytest.mark.backends("asyncio", "uvloop")


async def test_one_reset_is_pending() -> None:
    """Case 43: opened, closed by hand, opened again: the old reset is gone, the new one rings."""
    async with house("a", circuit=BRITTLE) as home:
        resets = home.router._engine.resets
        await home.fail("a")
        await anyio.sleep(4)
        assert len(resets) == 1
        home.router.hold("a", "closed")
        await anyio.sleep(0.01)
        assert len(resets) == 0
        home.router.unhold("a")
        await home.fail("a")
        await anyio.sleep(0.01)
        assert len(resets) == 1
        await anyio.sleep(7)
        assert home.state("a") == "open"
        await anyio.sleep(3)
        assert home.state("a") == "half_open"
        assert home.news.transitions("a").count("open > half_open") == 1
        assert len(resets) == 0


async def test_a_reset_of_an_old_era_does_nothing() -> None:
    """Case 44: even one that was not cancelled in time leaves the new era alone."""
    async with house("a", circuit=BRITTLE) as home:
        await home.fail("a")
        resets = home.router._engine.resets
        await anyio.sleep(1)
        old = resets._pending.pop("a")
        home.router.hold("a", "closed")
        home.router.unhold("a")
        await anyio.sleep(4)
        await home.fail("a")
        await anyio.sleep(5.1)
        assert old.done
        assert home.state("a") == "open"
        assert home.news.transitions("a").count("open > half_open") == 0


async def test_closing_leaves_nothing() -> None:
    """Case 45: with resets pending and a call in flight: it ends, and no task is left."""
    ends: list[CallOutcome[Any]] = []
    async with house("a", "b", circuit=BRITTLE) as home:
        await home.fail("a")
        home["b"].then("slow")
        caller = await home.begun("b")
        await home.router.aclose()
        ends.append(await caller.end())
        await home.router.aclose()
        with pytest.raises(UsageError, match="the router is closed"):
            await home.call()
        with pytest.raises(UsageError, match="the router is closed"):
            async with home.router:
                raise AssertionError
        home.router.explain()
        assert home.router.snapshot()["providers"]["b"]["state"] == "closed"
    assert ends[0].ok


async def test_calls_in_flight_get_a_grace() -> None:
    """Case 45: `aclose` waits for calls in flight, but no longer than its grace."""
    async with house(play("a", latency=3.0)) as home:
        short, long = await home.begun(), await home.begun()
        home["a"].then("hang")
        hanging = await home.begun(timeout=20)
        before = anyio.current_time()
        await home.router.aclose(grace=5)
        assert anyio.current_time() - before == pytest.approx(5, abs=0.01)
        assert (short.ended, long.ended, hanging.ended) == (True, True, False)
        assert not (await hanging.end()).ok


async def test_closing_is_over_when_the_last_call_is() -> None:
    """Case 45: it does not wait out its grace when nothing is in flight any more."""
    async with house(play("a", latency=3.0)) as home:
        await home.begun()
        before = anyio.current_time()
        await home.router.aclose(grace=50)
        assert anyio.current_time() - before == pytest.approx(3, abs=0.1)


async def test_closing_cancels_copies_in_the_background() -> None:
    """Case 45: a copy that hangs as a half-open trial is cancelled, neutral, and leaves nothing."""
    async with house("a", "b", circuit=BRITTLE) as home:
        await home.half_open("a")
        home["a"].then("hang")
        await home.call("b", "a")
        await home.call()
        await anyio.sleep(1)
        assert home.router.in_flight("a") == 1
        await home.router.aclose()
        assert home.router.in_flight("a") == 0
        assert home.records("a")[-1].outcome == "cancelled"


async def test_closing_takes_back_a_copy_that_never_began() -> None:
    """Case 45: a copy that was launched in the tick of the close has its trial's permit back."""

    async def at_once(request: object) -> str:
        return "answered"

    async with house("a", circuit=BRITTLE) as home:
        await home.half_open("a")
        home.router.add(Provider("b", at_once))
        assert await home.call() == "answered"
        assert home.router.in_flight("a") == 1
        await home.router.aclose()
        assert home.router.in_flight("a") == 0
        assert home.state("a") == "half_open"


async def test_closing_sends_waiting_calls_away() -> None:
    """Case 45: a call that waits for room ends with a UsageError that says why."""
    async with house("a") as home:
        home.router.hold("a", "open")
        caller = await home.begun(wait=60)
        await home.router.aclose()
        with pytest.raises(UsageError, match="closed while the call waited"):
            await caller.end()


async def test_providers_are_closed_with_it() -> None:
    """Case 45: each `aclose=` is awaited once, and one that raises is logged and harms none."""
    closed: list[str] = []

    async def broken() -> None:
        closed.append("a")
        raise OSError("already gone")

    async def fine() -> None:
        await anyio.sleep(0)
        closed.append("b")

    async with house(play("a", aclose=broken), play("b", aclose=fine)) as home:
        await home.router.aclose()
        assert closed == ["a", "b"]
        assert home.logger.of("background task broken")[0]["task"] == "aclose of a"
    assert closed == ["a", "b"]


@asyncio_only
async def test_closing_in_a_cancelled_task_still_closes() -> None:
    """Case 45: a router that closes because its block is cancelled takes its tasks along."""
    before = asyncio.all_tasks()
    with anyio.move_on_after(1) as scope:
        async with house("a", circuit=BRITTLE) as home:
            await home.fail("a")
            await anyio.sleep(5)
    assert scope.cancelled_caught
    assert asyncio.all_tasks() == before


async def test_a_router_is_entered_once() -> None:
    """Case 45: entering an open router again is refused, and the block goes on."""
    async with house("a") as home:
        with pytest.raises(UsageError, match="open already"):
            async with home.router:
                raise AssertionError
        assert await home.call() == "a: q"


async def test_without_traffic_it_is_half_open_in_time() -> None:
    """Case 46: state, gauge and event turn at the reset time, though nobody calls."""
    async with house("a", circuit=BRITTLE) as home:
        await home.fail("a")
        await anyio.sleep(9.99)
        assert (home.state("a"), home.total("circuit_state")) == ("open", 2)
        assert home.total("available") == 0
        await anyio.sleep(0.02)
        assert (home.state("a"), home.total("circuit_state")) == ("half_open", 1)
        assert home.total("available") == 1
        last = home.news.of("circuit_changed")[-1]
        assert (last.new, last.reason) == ("half_open", "reset")
        assert last.at - home.news.of("circuit_changed")[0].at == pytest.approx(10, abs=0.01)


async def test_a_blocked_loop_delays_no_reset() -> None:
    """Case 47: the first call after the block sees half-open, though no task has run since."""
    async with house("a", circuit=BRITTLE) as home:
        await home.fail("a")
        await anyio.sleep(1)
        suspend(20)
        assert home.state("a") == "half_open"
        assert await home.call() == "a: q"
        assert home.state("a") == "closed"
        assert home.news.transitions("a").count("open > half_open") == 1


async def test_a_lost_reset_task_changes_nothing() -> None:
    """Case 47: routing is right even when the task of the reset is gone."""
    async with house("a", circuit=BRITTLE) as home:
        await home.fail("a")
        home.router._engine.resets.moved_to(None)
        await anyio.sleep(10)
        assert home.state("a") == "half_open"
        assert await home.call() == "a: q"


# ── loops and threads ───────────────────────────────────────────────────────────────────────────


def made_outside(*providers: Provider[Any, Any, Any], **settings: Any) -> Any:
    settings = {"registry": CollectorRegistry(), "logger": Logger()} | settings
    return MultiProviderRouter(providers, **settings)


def test_a_router_may_be_made_outside_of_a_loop(virtual_clock: VirtualClock) -> None:
    """Case 48: made, looked at and configured before any loop runs, it works in the first one."""
    router = made_outside(play("a"))
    router.hold("a", "open")
    assert "held open" in str(router.explain())
    router.unhold("a")

    async def main() -> str:
        async with router:
            answer: str = await router.call("q")
            return answer

    assert virtual_clock.run(main) == "a: q"


@asyncio_only
def test_the_budget_of_a_run_before(virtual_clock: VirtualClock) -> None:
    """Case 48: what the first run paid for retries is paid in the second, until its window ends."""
    retry = RetryPolicy(attempts=2, base=0.01, budget=0.0, budget_floor=1, budget_window=10.0)
    circuit = CircuitPolicy(failures=100)
    router = made_outside(play("a", *["error"] * 9), retry=retry, circuit=circuit)

    async def attempts() -> int:
        return len((await router.call_outcome("q")).attempts)

    async def first() -> None:
        await anyio.sleep(1000)
        assert [await attempts(), await attempts()] == [2, 1]

    async def second() -> None:
        assert await attempts() == 1
        await anyio.sleep(11)
        assert await attempts() == 2
        await router.aclose()

    virtual_clock.run(first)
    virtual_clock.run(second)


@asyncio_only
def test_two_runs_in_a_row(virtual_clock: VirtualClock) -> None:
    """Case 48: a circuit that opened in the first run has in the second what is left of its time.

    The reset task is there as well: half-open is told in time, without traffic.
    """
    bad = play("a", "error", "rate_limit")
    router = made_outside(bad, play("b", "rate_limit"), circuit=BRITTLE)

    async def first() -> None:
        await router.call_outcome("q", route=["a"])
        await anyio.sleep(4)
        await router.call_outcome("q", route=["b"])

    async def second() -> None:
        start = anyio.current_time()
        await router.call_outcome("q", route=["b"])
        seen = router.snapshot()["providers"]
        assert seen["a"]["reset_in"] == pytest.approx(6, abs=0.3)
        assert seen["b"]["cooldown_for"] == pytest.approx(5, abs=0.3)
        assert len(router._engine.resets) == 1
        await anyio.sleep(6.01)
        assert router.circuit_state("a") == "half_open"
        assert router._engine.memory.gates["a"].circuit.generation == 2
        assert await router.call("q", route=["b"]) == "b: q"
        assert anyio.current_time() - start < 7
        await router.aclose()

    virtual_clock.run(first)
    virtual_clock.run(second)


@asyncio_only
def test_a_run_that_ends_amid_calls(virtual_clock: VirtualClock) -> None:
    """Case 48: what a dead run left in flight is given back, and the next run starts clean."""
    slow = play("a", "hang")
    router = made_outside(slow)

    async def first() -> None:
        task = asyncio.create_task(router.call("q"))
        await anyio.sleep(1)
        assert router.in_flight("a") == 1
        assert not task.done()

    async def second() -> None:
        assert router.in_flight("a") == 0
        assert await router.call("q") == "a: q"
        await router.aclose()

    virtual_clock.run(first)
    virtual_clock.run(second)


@pytest.mark.real_io
async def test_another_thread_is_refused() -> None:
    """Case 48: while its loop runs, a call from another thread's loop raises, and never hangs."""
    async with house("a") as home:
        assert await home.call() == "a: q"
        caught: list[str] = []

        def elsewhere() -> None:
            async def main() -> None:
                with pytest.raises(UsageError) as error:
                    await home.router.call("q")
                caught.append(str(error.value))

            asyncio.run(main())

        await anyio.to_thread.run_sync(elsewhere)
        assert "another event loop" in caught[0]
        assert await home.call() == "a: q"


@pytest.mark.real_io
async def test_it_can_be_looked_at_from_another_thread() -> None:
    """Case 48: a scrape in a thread of its own reads states and gauges without a loop."""
    async with house("a", circuit=STEADY) as home:
        await home.call()
        told: list[Any] = []
        thread = threading.Thread(
            target=lambda: told.extend([home.state("a"), home.total("available")])
        )
        thread.start()
        thread.join()
        assert told == ["closed", 1]


@pytest.mark.backends("trio")
async def test_on_trio_it_asks_for_its_block() -> None:
    """Case 48: without `async with` a call on trio says what is missing."""
    router = made_outside(play("a"))
    with pytest.raises(UsageError, match="async with router"):
        await router.call("q")


def test_outside_of_any_loop() -> None:
    """Case 48: a call that is driven by hand, without a loop, says so."""
    router = made_outside(play("a"))
    call = router.call("q")
    with pytest.raises(UsageError, match="no event loop"):
        call.send(None)


@asyncio_only
async def test_without_a_block_it_is_closed_by_hand() -> None:
    """Case 48: on asyncio a router works without `async with`; `aclose` ends its tasks."""
    before = asyncio.all_tasks()
    router = made_outside(play("a", "error"), circuit=BRITTLE)
    await router.call_outcome("q", route=["a"])
    await anyio.sleep(0)
    assert len(asyncio.all_tasks()) == len(before) + 1
    await router.aclose()
    assert asyncio.all_tasks() == before
    unused = made_outside(play("a"))
    await unused.aclose()


@asyncio_only
async def test_a_block_may_begin_after_the_first_call() -> None:
    """Case 48: on asyncio a router in use may be entered; leaving one never entered is harmless."""
    router = made_outside(play("a"))
    assert await router.call("q") == "a: q"
    async with router:
        assert await router.call("q") == "a: q"
    await made_outside(play("a")).__aexit__(None, None, None)
