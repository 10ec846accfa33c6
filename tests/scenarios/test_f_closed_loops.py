"""Section F: loops that were closed too early, routers that were dropped, and what comes after."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from multirouter import AllOpen, LimitPolicy, Route, Shadow, UsageError
from multirouter.testing import VirtualClock
from tests.scenarios.harness import TRIPS_AT_ONCE, harness, scripted
from tests.scenarios.test_f_loops_and_threads import create_router

asyncio_only = pytest.mark.backends("asyncio", "uvloop")


# ── loops that were closed while calls were in flight ─────────────────────────────────────────────


class Loops:
    """Runs functions in new loops, which are closed although tasks are left."""

    def __init__(self, clock: VirtualClock) -> None:
        self.new_loop = clock.new_loop
        self.kept: list[Any] = []

    def run(self, main: Any) -> Any:
        loop = self.new_loop()
        loop.set_exception_handler(lambda loop, context: None)
        try:
            return loop.run_until_complete(main())
        finally:
            self.kept.append(loop)
            loop.close()


@asyncio_only
@pytest.mark.parametrize("collected", [True, False])
def test_permits_of_calls_that_died_with_their_loop(
    virtual_clock: VirtualClock, collected: bool
) -> None:
    """Calls in flight, waiting calls, copies and checks of a closed loop hold nothing any more."""
    one = LimitPolicy(in_flight=1)
    provider = scripted("a", "hang", limits=one, attempt_timeout=1e6)
    routes = [Route("default", ["a"], limits=one)]
    router = create_router(provider, routes=routes, limits=one, timeout=1e6)
    loops = Loops(virtual_clock)
    tasks: list[Any] = []

    async def first() -> None:
        tasks.append(asyncio.ensure_future(router.call("hangs")))
        await anyio.sleep(0.1)
        tasks.extend(asyncio.ensure_future(router.call("waits", wait=1e6)) for _ in range(3))
        await anyio.sleep(0.1)
        assert (router.in_flight("a"), len(router._engine.wait_queue)) == (1, 3)

    async def second() -> None:
        assert await router.call("q", wait=1) == "a: q"
        assert len(router._engine.wait_queue) == 0
        if collected:
            tasks.clear()
            gc.collect()
        assert router.in_flight("a") == 0
        assert await router.call("q") == "a: q"
        start = anyio.current_time()
        await router.aclose()
        assert anyio.current_time() == start, "no dead call is waited for"

    loops.run(first)
    loops.run(second)
    tasks.clear()
    gc.collect()
    assert router.in_flight("a") == 0


@asyncio_only
def test_background_work_that_died_with_its_loop(virtual_clock: VirtualClock) -> None:
    """Trials, shadow copies and streams of a closed loop neither count nor keep a provider open."""
    closed: list[str] = []

    async def aclose() -> None:
        closed.append("c")

    a, b, c = scripted("a", "error", "hang"), scripted("b"), scripted("c", "hang", aclose=aclose)
    routes = [Route("default", ["a", "b"])]
    shadow = Shadow(["c"], share=1.0, max_in_flight=1)
    router = create_router(a, b, c, routes=routes, circuit=TRIPS_AT_ONCE, shadow=shadow)
    loops = Loops(virtual_clock)
    kept: list[Any] = []

    async def first() -> None:
        await router.call_outcome("q", route=["a"])
        await anyio.sleep(10)
        assert await router.call("q") == "b: q"
        await anyio.sleep(0.1)
        assert [router.in_flight(name) for name in "abc"] == [1, 0, 1]
        kept.extend(asyncio.all_tasks())

    async def second() -> None:
        assert await router.call("q") == "b: q"
        await anyio.sleep(0.1)
        assert c.call.count == 2, "the copy of the closed loop is no reason to make none"
        assert [router.in_flight(name) for name in "abc"] == [0, 0, 0]
        assert router.circuit_state("a") == "closed"
        router.reconfigure([a, b], routes, shadow=None)
        await anyio.sleep(0.1)
        assert closed == ["c"]
        await router.aclose()

    loops.run(first)
    loops.run(second)
    kept.clear()
    gc.collect()
    assert [router.in_flight(name) for name in "ab"] == [0, 0]


@asyncio_only
def test_a_closed_loop_does_not_complain(virtual_clock: VirtualClock) -> None:
    """With an open circuit and alarms, no task is destroyed while pending."""
    problems: list[str] = []
    router = create_router(
        scripted("a", "error", "error"), circuit=TRIPS_AT_ONCE, alarms=[AllOpen()]
    )

    async def main() -> None:
        await router.call_outcome("q")

    loop = virtual_clock.new_loop()
    loop.set_exception_handler(lambda loop, context: problems.append(str(context)))
    loop.run_until_complete(main())
    loop.close()
    del loop
    gc.collect()
    assert problems == []


@asyncio_only
async def test_a_dropped_router_is_freed() -> None:
    """Without `aclose`, with an open circuit, alarms and a removed provider: nothing holds it."""

    async def used() -> weakref.ref[Any]:
        router = create_router(
            scripted("a", "error"), scripted("b"), circuit=TRIPS_AT_ONCE, alarms=[AllOpen()]
        )
        await router.call_outcome("q", route=["a"])
        await router.call("q", route=["b"])
        return weakref.ref(router._engine)

    engine = await used()
    gc.collect()
    assert engine() is None
    await anyio.sleep(100)


# ── after the end ───────────────────────────────────────────────────────────────────────────────


async def test_a_closed_router_cannot_be_changed() -> None:
    """Every method that changes something raises, and no gauge comes back."""
    async with harness("a") as env:
        await env.router.aclose()
        router = env.router
        changes: list[Callable[[], object]] = [
            lambda: router.add(scripted("b")),
            lambda: router.remove("a"),
            lambda: router.update("a", weight=2.0),
            lambda: router.reconfigure([scripted("a"), scripted("c")]),
            lambda: router.hold("a", "open"),
            lambda: router.unhold("a"),
        ]
        for change in changes:
            with pytest.raises(UsageError, match="the router is closed"):
                change()
        assert [provider.name for provider in router.providers] == ["a"]
        assert "available" not in str([f.name for f in env.registry.collect() if f.samples])


def test_a_stream_left_open_at_exit_is_silent() -> None:
    """A stream in a global variable is no traceback when the interpreter ends."""
    program = textwrap.dedent(
        """
        import asyncio, logging
        from multirouter import MultiProviderRouter, Provider

        async def stream(request):
            for number in range(100):
                yield str(number)

        router = MultiProviderRouter([Provider("a", stream=stream)])

        async def main():
            global kept
            kept = await router.stream("q")
            await anext(kept)

        asyncio.run(main())
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


@pytest.mark.backends("asyncio")
def test_a_clock_replaced_on_the_loop_is_read() -> None:
    """Case 40: also one that a test tool sets on the instance and not on the class."""
    loop = asyncio.new_event_loop()
    now = [1000.0]
    loop.time = lambda: now[0]  # type: ignore[method-assign]
    select = loop._selector.select  # type: ignore[attr-defined]

    def advance(timeout: float | None) -> Any:
        events = select(0)
        now[0] += 0.0 if events or not timeout else timeout
        return events

    loop._selector.select = advance  # type: ignore[attr-defined]
    router = create_router(scripted("a", "hang"), timeout=10)
    try:
        outcome = loop.run_until_complete(router.call_outcome("q"))
        assert outcome.elapsed == pytest.approx(5, abs=0.01), "half of the timeout"
        loop.run_until_complete(router.aclose())
    finally:
        loop.close()
