"""The event loop interface: which loop, whether it runs, and background tasks."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import trio

from multirouter.errors import UsageError
from multirouter.runtime.event_loops.base import BackgroundTask, EventLoop
from multirouter.runtime.event_loops.running_loop import running_loop
from multirouter.testing import VirtualClock

asyncio_only = pytest.mark.backends("asyncio", "uvloop")
trio_only = pytest.mark.backends("trio")

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


# ── closing ─────────────────────────────────────────────────────────────────────────────────────


async def test_closing_waits_until_all_background_tasks_have_ended() -> None:
    """Case 45: after close no task is left; a second close is a no-op; nothing starts any more."""
    ended: list[int] = []

    async def slow(number: int) -> None:
        try:
            await anyio.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)
            ended.append(number)

    async with open_loop() as (loop, errors):
        tasks = [loop.spawn(f"slow {n}", slow, n) for n in range(3)]
        await anyio.sleep(1)
        began = loop.time()
        await loop.close()
        assert (sorted(ended), [t.done for t in tasks]) == ([0, 1, 2], [True] * 3)
        assert loop.time() == pytest.approx(began + 0.5)
        await loop.close()
        late = loop.spawn("late", slow, 9)
        late.cancel()
        await anyio.sleep(1)
        assert (late.done, len(ended), errors) == (True, 3, [])
        assert "closed=True" in repr(loop)


async def test_leaving_the_loop_closes_it() -> None:
    """The end of `async with` ends the tasks, and the body's exception propagates unchanged."""
    tasks = []
    with pytest.raises(ValueError, match="body"):
        async with open_loop() as (loop, _):
            tasks.append(loop.spawn("long", anyio.sleep, 100))
            await anyio.sleep(1)
            raise ValueError("body")
    assert tasks[0].done


async def test_a_task_may_close_the_loop_that_it_runs_in() -> None:
    """Closing from a background task ends the others and does not wait for itself."""
    async with open_loop() as (loop, errors):
        other = loop.spawn("other", anyio.sleep, 100)
        await anyio.sleep(1)
        closer = loop.spawn("closer", loop.close)
        await anyio.sleep(1)
        assert (other.done, closer.done, errors) == (True, True, [])


async def test_a_close_that_is_cancelled_leaves_no_task_behind() -> None:
    """Case 45: a cancelled close still waits for the tasks, then the cancellation propagates."""
    done: list[bool] = []

    async def slow() -> None:
        try:
            await anyio.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.75)

    async with open_loop() as (loop, _):
        task = loop.spawn("slow", slow)
        await anyio.sleep(1)
        with anyio.move_on_after(0.5) as scope:
            try:
                await loop.close()
                await anyio.sleep(1)
            finally:
                done.append(task.done)
        assert (done, scope.cancelled_caught) == ([True], True)


async def test_a_cancelled_body_leaves_no_task_behind() -> None:
    """The tasks end, and the cancellation propagates."""
    with anyio.move_on_after(1) as scope:
        async with open_loop() as (loop, errors):
            task = loop.spawn("long", anyio.sleep, 100)
            await anyio.sleep(100)
    assert (scope.cancelled_caught, task.done, errors) == (True, True, [])


@asyncio_only
async def test_a_task_that_swallows_its_cancellation_is_cancelled_again() -> None:
    """Case 34: close repeats the cancellation once a second."""

    async def stubborn() -> None:
        for _ in range(2):
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(100)
        await asyncio.sleep(100)

    async with open_loop() as (loop, errors):
        task = loop.spawn("stubborn", stubborn)
        await asyncio.sleep(1)
        await loop.close()
        assert (task.done, loop.time(), errors) == (True, 3.0, [])


@asyncio_only
async def test_a_cancelled_close_raises_once_all_have_ended() -> None:
    """Case 45: on asyncio CancelledError comes out of close itself, after the last task.

    The cleanup of the tasks is not disturbed by it.
    """

    async def slow() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.75)

    loop = running_loop(fail_on_error)
    task = loop.spawn("slow", slow)
    await asyncio.sleep(1)
    closing = asyncio.create_task(loop.close())
    await asyncio.sleep(0.25)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert (task.done, loop.time()) == (True, 1.75)


@asyncio_only
async def test_a_cancelled_task_does_not_reach_the_loops_exception_handler() -> None:
    """A cancelled background task is not an unhandled error of the loop."""
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    task = running_loop(fail_on_error).spawn("long", asyncio.sleep, 100)
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    assert (task.done, errors) == (True, [])


@asyncio_only
async def test_asyncio_needs_no_opening() -> None:
    """On asyncio a task can be spawned at once, and the loop object keeps it alive."""
    loop = running_loop(fail_on_error)
    task = loop.spawn("short", asyncio.sleep, 1)
    await asyncio.sleep(2)
    assert task.done


@asyncio_only
def test_the_end_of_the_program_is_silent(virtual_clock: VirtualClock) -> None:
    """A program that ends without closing ends its background tasks, and reports no error."""
    tasks: list[BackgroundTask] = []

    async def main() -> None:
        tasks.append(running_loop(fail_on_error).spawn("long", asyncio.sleep, 100))
        await asyncio.sleep(1)

    virtual_clock.run(main)
    assert tasks[0].done


@pytest.mark.backends("asyncio")
async def test_an_eager_task_factory_does_not_start_tasks_at_once() -> None:
    """On a loop with eager tasks (Python 3.12) background tasks still begin later."""
    if sys.version_info < (3, 12):
        pytest.skip("eager tasks came with Python 3.12")
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    seen: list[int] = []

    async def note() -> None:
        seen.append(1)

    running_loop(fail_on_error).spawn("note", note)
    assert seen == []
    await asyncio.sleep(0)
    assert seen == [1]


@trio_only
async def test_spawning_on_an_unopened_trio_loop_raises() -> None:
    """On trio a task needs `async with`; the error says so."""
    loop = running_loop(fail_on_error)
    with pytest.raises(UsageError, match="async with router"):
        loop.spawn("reset", trio.sleep, 1)


@trio_only
async def test_a_trio_loop_can_be_opened_only_once() -> None:
    """A second `async with` raises, and leaves the first one intact."""
    async with open_loop() as (loop, _):
        with pytest.raises(UsageError, match="already open"):
            await loop.__aenter__()
        task = loop.spawn("short", trio.sleep, 1)
        await trio.sleep(2)
        assert task.done


@trio_only
async def test_an_outer_cancellation_ends_background_tasks_after_the_body() -> None:
    """On trio background tasks are shielded: they end after the body, not during it."""
    order: list[str] = []

    async def background() -> None:
        try:
            await trio.sleep(100)
        finally:
            order.append("background")

    async def body(use: Callable[..., Awaitable[None]]) -> None:
        async with open_loop() as (loop, _):
            loop.spawn("background", use)
            try:
                await trio.sleep(100)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(1)
                order.append("body")

    with trio.move_on_after(1):
        await body(background)
    assert order == ["body", "background"]


async def test_nothing_starts_after_close() -> None:
    """Case 45: a task that a late attempt spawns after the close is done before it begins."""
    started: list[str] = []

    async def late() -> None:
        started.append("late")

    async with running_loop(fail_on_error) as loop:
        await loop.close()
        task = loop.spawn("late", late)
        assert task.done
        task.cancel()
        await anyio.sleep(1)
    assert started == []
