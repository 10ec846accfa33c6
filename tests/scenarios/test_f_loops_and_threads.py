"""Section F: routers outside of a loop, in several loops, and in other threads."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    CircuitPolicy,
    MultiProviderRouter,
    Provider,
    RetryPolicy,
    UsageError,
)
from multirouter.testing import VirtualClock
from tests.scenarios.harness import TRIPS_AFTER_3, TRIPS_AT_ONCE, Logger, harness, scripted

asyncio_only = pytest.mark.backends("asyncio", "uvloop")


def create_router(*providers: Provider[Any, Any, Any], **settings: Any) -> Any:
    settings = {"registry": CollectorRegistry(), "logger": Logger()} | settings
    return MultiProviderRouter(providers, **settings)


def test_router_created_outside_of_a_loop(virtual_clock: VirtualClock) -> None:
    """Case 48: created, read and configured before any loop runs, it works in the first one."""
    router = create_router(scripted("a"))
    router.hold("a", "open")
    assert "held open" in str(router.explain())
    router.unhold("a")

    async def main() -> str:
        async with router:
            answer: str = await router.call("q")
            return answer

    assert virtual_clock.run(main) == "a: q"


@asyncio_only
def test_retry_budget_outlives_a_loop(virtual_clock: VirtualClock) -> None:
    """Case 48: the budget spent in the first loop is spent in the second, until its window ends."""
    retry = RetryPolicy(attempts=2, base=0.01, budget=0.0, budget_floor=1, budget_window=10.0)
    circuit = CircuitPolicy(failures=100)
    router = create_router(scripted("a", *["error"] * 9), retry=retry, circuit=circuit)

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
def test_circuits_outlive_a_loop(virtual_clock: VirtualClock) -> None:
    """Case 48: a circuit that opened in the first loop keeps the rest of its time in the second.

    Its timer is there as well: half-open is reported in time, without traffic.
    """
    flaky = scripted("a", "error", "rate_limit")
    policy = replace(TRIPS_AT_ONCE, jitter=0.0)
    router = create_router(flaky, scripted("b", "rate_limit"), circuit=policy)

    async def first() -> None:
        await router.call_outcome("q", route=["a"])
        await anyio.sleep(4)
        await router.call_outcome("q", route=["b"])

    async def second() -> None:
        start = anyio.current_time()
        await router.call_outcome("q", route=["b"])
        providers = router.snapshot()["providers"]
        assert providers["a"]["half_open_in"] == pytest.approx(6, abs=0.3)
        assert providers["b"]["cooldown_remaining"] == pytest.approx(5, abs=0.3)
        assert len(router._engine.half_open_timers) == 1
        await anyio.sleep(6.01)
        assert router.circuit_state("a") == "half_open"
        assert router._engine.states.gates["a"].circuit.generation == 2
        assert await router.call("q", route=["b"]) == "b: q"
        assert anyio.current_time() - start < 7
        await router.aclose()

    virtual_clock.run(first)
    virtual_clock.run(second)


@asyncio_only
def test_loop_that_ended_during_calls(virtual_clock: VirtualClock) -> None:
    """Case 48: permits of a dead loop are returned, and the next loop starts clean."""
    slow = scripted("a", "hang")
    router = create_router(slow)

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
async def test_call_from_another_thread_raises() -> None:
    """Case 48: while its loop runs, a call from another thread's loop raises, and never hangs."""
    async with harness("a") as env:
        assert await env.call() == "a: q"
        caught: list[str] = []

        def elsewhere() -> None:
            async def main() -> None:
                with pytest.raises(UsageError) as error:
                    await env.router.call("q")
                caught.append(str(error.value))

            asyncio.run(main())

        await anyio.to_thread.run_sync(elsewhere)
        assert "another event loop" in caught[0]
        assert await env.call() == "a: q"


@pytest.mark.real_io
async def test_reading_from_another_thread() -> None:
    """Case 48: a scrape in a thread of its own reads states and gauges without a loop."""
    async with harness("a", circuit=TRIPS_AFTER_3) as env:
        await env.call()
        read: list[Any] = []
        thread = threading.Thread(
            target=lambda: read.extend([env.state("a"), env.total("available")])
        )
        thread.start()
        thread.join()
        assert read == ["closed", 1]


@pytest.mark.backends("trio")
async def test_trio_requires_the_block() -> None:
    """Case 48: without `async with` a call on trio says what is missing."""
    router = create_router(scripted("a"))
    with pytest.raises(UsageError, match="async with router"):
        await router.call("q")


def test_call_outside_of_any_loop() -> None:
    """Case 48: a call that is driven by hand, without a loop, says so."""
    router = create_router(scripted("a"))
    call = router.call("q")
    with pytest.raises(UsageError, match="no event loop"):
        call.send(None)


@asyncio_only
async def test_aclose_without_a_block() -> None:
    """Case 48: on asyncio a router works without `async with`; `aclose` ends its tasks."""
    before = asyncio.all_tasks()
    router = create_router(scripted("a", "error", "hang"), scripted("b"), circuit=TRIPS_AT_ONCE)
    await router.call_outcome("q", route=["a"])
    await anyio.sleep(0)
    assert asyncio.all_tasks() == before, "the timer of an open circuit is no task"
    await anyio.sleep(10)
    await router.call("q")
    assert len(asyncio.all_tasks()) == len(before) + 1
    await router.aclose()
    assert asyncio.all_tasks() == before
    unused = create_router(scripted("a"))
    await unused.aclose()


@asyncio_only
async def test_block_after_the_first_call() -> None:
    """Case 48: on asyncio a router in use may be entered; exiting without entering is harmless."""
    router = create_router(scripted("a"))
    assert await router.call("q") == "a: q"
    async with router:
        assert await router.call("q") == "a: q"
    await create_router(scripted("a")).__aexit__(None, None, None)
