"""The event loop interface: which loop, whether it runs, and background tasks."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import trio

from multirouter.errors import UsageError
from multirouter.runtime.event_loops.base import EventLoop
from multirouter.runtime.event_loops.running_loop import running_loop
from multirouter.testing import VirtualClock

Errors = list[tuple[str, str]]


@asynccontextmanager
async def open_loop() -> AsyncIterator[tuple[EventLoop, Errors]]:
    """The running loop, opened, and the errors of background tasks that it reported."""
    errors: Errors = []
    async with running_loop(lambda name, error: errors.append((name, repr(error)))) as loop:
        yield loop, errors


def fail_on_error(name: str, error: BaseException) -> None:
    raise AssertionError(f"{name} failed with {error!r}")


# ── the running loop ──────────────────────────────────────────────────────────────────────────


async def test_the_running_loop_is_current_and_running(virtual_clock: VirtualClock) -> None:
    """The loop knows its library, reads its own clock, and is the caller's."""
    loop = running_loop(fail_on_error)
    assert loop.name == ("trio" if virtual_clock.backend == "trio" else "asyncio")
    assert (loop.is_current(), loop.is_running()) == (True, True)
    began = loop.time()
    with loop.bound(began + 2) as bound:
        await anyio.sleep(100)
    assert bound.expired
    assert loop.time() == anyio.current_time() == pytest.approx(began + 2)


def test_running_loop_outside_of_any_loop_raises() -> None:
    """The UsageError tells what to do."""
    with pytest.raises(UsageError, match="no event loop is running"):
        running_loop(fail_on_error)


def test_trio_is_not_loaded_for_asyncio() -> None:
    """A program on asyncio never imports trio through this package."""
    program = (
        "import asyncio, sys\n"
        "from multirouter.runtime.event_loops.running_loop import running_loop\n"
        "async def main(): return running_loop(print).name\n"
        "assert asyncio.run(main()) == 'asyncio' and 'trio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_previous_loop_is_neither_current_nor_running(virtual_clock: VirtualClock) -> None:
    """Case 48: two runs in sequence: the second may take over, since the first has ended."""
    loops: list[EventLoop] = []

    async def main() -> None:
        loops.append(running_loop(fail_on_error))
        assert [loop.is_current() for loop in loops] == [False, True][-len(loops) :]
        assert [loop.is_running() for loop in loops] == [False, True][-len(loops) :]

    virtual_clock.run(main)
    virtual_clock.run(main)
    assert [(loop.is_current(), loop.is_running()) for loop in loops] == [(False, False)] * 2


@pytest.mark.real_io
async def test_a_loop_in_another_thread_is_running_but_not_current() -> None:
    """Case 48: so from outside of any loop and from another loop, without an exception.

    Real clock, since threads do not run in virtual time; nothing sleeps.
    """
    loop = running_loop(fail_on_error)
    seen: list[tuple[bool, bool]] = []

    async def check() -> None:
        seen.append((loop.is_current(), loop.is_running()))

    def check_from_thread() -> None:
        seen.append((loop.is_current(), loop.is_running()))
        asyncio.run(check())
        trio.run(check)

    thread = threading.Thread(target=check_from_thread)
    thread.start()
    thread.join()
    assert seen == [(False, True)] * 3


def test_trio_as_a_guest_of_asyncio_is_trio() -> None:
    """Where both libraries run, the loop is that of the running task."""
    names: list[str] = []

    async def guest() -> None:
        names.append(running_loop(fail_on_error).name)

    async def host() -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        trio.lowlevel.start_guest_run(
            guest, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=done.set_result
        )
        await done
        names.append(running_loop(fail_on_error).name)

    asyncio.run(host())
    assert names == ["trio", "asyncio"]


# ── background tasks ────────────────────────────────────────────────────────────────────────────


async def test_a_background_task_runs_and_is_done() -> None:
    """A spawned task begins after the caller's next await, takes its arguments, and ends."""
    seen: list[object] = []

    async def note(*args: object) -> None:
        seen.append(args)
        await anyio.sleep(1)

    async with open_loop() as (loop, errors):
        task = loop.spawn("note", note, 1, "two")
        assert (seen, task.done) == ([], False)
        assert "note" in repr(loop)
        await anyio.sleep(2)
        assert (seen, task.done, errors) == ([(1, "two")], True, [])
        assert "note" not in repr(loop)
        task.cancel()


async def test_a_function_that_returns_any_awaitable_can_be_spawned() -> None:
    """The awaitable need not be a coroutine."""

    class Awaited:
        def __await__(self) -> Any:
            return anyio.sleep(1).__await__()

    async with open_loop() as (loop, errors):
        task = loop.spawn("awaited", Awaited)
        await anyio.sleep(2)
        assert (task.done, errors) == (True, [])


async def test_an_exception_in_a_background_task_is_reported() -> None:
    """It is reported with the task's name; other tasks and the caller go on."""

    async def fail(error: BaseException) -> None:
        await anyio.sleep(1)
        raise error

    async with open_loop() as (loop, errors):
        other = loop.spawn("other", anyio.sleep, 3)
        loop.spawn("bad", fail, ValueError("no"))
        loop.spawn("group", fail, ExceptionGroup("two", [KeyError(1), KeyError(2)]))
        await anyio.sleep(2)
        assert not other.done
        assert sorted(errors) == [
            ("bad", "ValueError('no')"),
            ("group", "ExceptionGroup('two', [KeyError(1), KeyError(2)])"),
        ]


async def test_a_cancelled_background_task_is_silent() -> None:
    """Cancelling ends a task, also before its first step, and reports no error."""
    steps: list[str] = []

    async def step(name: str) -> None:
        steps.append(f"{name} begins")
        try:
            await anyio.sleep(100)
        finally:
            steps.append(f"{name} ends")

    async with open_loop() as (loop, errors):
        task = loop.spawn("running", step, "running")
        await anyio.sleep(1)
        task.cancel()
        early = loop.spawn("early", anyio.sleep, 100)
        early.cancel()
        await anyio.sleep(0.5)
        assert (task.done, early.done, errors) == (True, True, [])
        assert steps == ["running begins", "running ends"]


async def test_spawning_works_in_a_call_that_is_being_cancelled() -> None:
    """Spawning awaits nothing, so it works in the `finally` of a cancelled call."""
    ran: list[str] = []

    async def note() -> None:
        ran.append("ran")

    async with open_loop() as (loop, _):
        with anyio.move_on_after(1):
            try:
                await anyio.sleep(100)
            finally:
                loop.spawn("note", note)
        await anyio.sleep(1)
        assert ran == ["ran"]


async def test_a_background_task_does_not_inherit_the_context() -> None:
    """Context variables that a request sets are not visible in the tasks that it causes."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="empty")
    seen: list[str] = []

    async def check() -> None:
        seen.append(variable.get())
        variable.set("background")
        raise ValueError

    def on_error(name: str, error: BaseException) -> None:
        seen.append(variable.get())

    async with running_loop(on_error) as loop:
        variable.set("request")
        loop.spawn("check", check)
        await anyio.sleep(1)
        assert (seen, variable.get()) == (["empty", "background"], "request")
