"""A router beside other threads: what may be called there, and what must not."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from anyio import from_thread, to_thread

from multirouter import Provider, UsageError
from tests.scenarios.harness import TRIPS_AFTER_3, Harness, harness, scripted

CHANGES: dict[str, Callable[[Any], object]] = {
    "add": lambda router: router.add(scripted("b")),
    "remove": lambda router: router.remove("a"),
    "update": lambda router: router.update("a", weight=2),
    "reconfigure": lambda router: router.reconfigure([scripted("b")]),
    "hold": lambda router: router.hold("a", "open"),
    "unhold": lambda router: router.unhold("a"),
}


@pytest.mark.real_io
@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_from_another_thread_raises(name: str) -> None:
    """It would interfere with calls that are being decided, and wake none that waits for it."""
    async with harness("a") as env:
        await env.call()
        before = env.router.snapshot() | {"at": 0}
        with pytest.raises(UsageError, match=rf"{name}\(\) must be called in the thread of the"):
            await to_thread.run_sync(CHANGES[name], env.router)
        assert env.router.snapshot() | {"at": 0} == before
        await to_thread.run_sync(from_thread.run_sync, CHANGES[name], env.router)


@pytest.mark.real_io
@pytest.mark.backends("asyncio", "uvloop")
async def test_a_change_by_the_loop_wakes_a_waiting_call() -> None:
    """As the error says: `call_soon_threadsafe` makes the change where it is safe."""
    async with harness("a") as env:
        env.router.hold("a", "open")
        waiting = await env.start(wait=60)
        loop = asyncio.get_running_loop()
        await to_thread.run_sync(loop.call_soon_threadsafe, env.router.unhold, "a")
        with anyio.fail_after(5):
            assert (await waiting.end()).ok


@pytest.mark.backends("asyncio", "uvloop")
def test_changes_while_no_loop_runs(virtual_clock: Any) -> None:
    """Before, between and after its loops a router may be changed in any thread."""
    env = Harness((scripted("a"),), {})

    def change() -> None:
        thread = threading.Thread(target=env.router.add, args=(scripted(f"b{len(added)}"),))
        thread.start()
        thread.join()
        added.append(1)

    added: list[int] = []
    change()
    virtual_clock.run(env.router.call, "q")
    change()
    assert env.router.names() == ("a", "b0", "b1")


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Lets threads interrupt each other fifty times as often as usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.real_io
async def test_reading_from_another_thread_under_traffic(eager_threads: None) -> None:
    """Readers see a whole configuration and disturb no call, whatever changes meanwhile."""
    stop = threading.Event()
    problems: list[BaseException] = []

    async def flaky(request: object) -> str:
        await anyio.sleep(0)
        raise ConnectionError

    async with harness("a", Provider("f", flaky), circuit=TRIPS_AFTER_3) as env:
        router = env.router

        def read() -> None:
            try:
                while not stop.is_set():
                    router.snapshot()
                    router.explain()
                    for name in ("a", "f"):
                        router.in_flight(name), router.available(name)
                        router.degraded(name), router.circuit_state(name)
                    assert set(router.names()) >= {"a", "f"}
                    repr(router)
                    env.total("in_flight")
            except BaseException as error:
                problems.append(error)

        await env.call()
        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for number in range(20):
                assert (await env.outcome("f", "a")).provider == "a"
                router.add(scripted(f"x{number}"))
                router.hold(f"x{number}", "open")
                await anyio.sleep(0)
                router.remove(f"x{number}")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert problems == []
