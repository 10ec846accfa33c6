"""Opening and closing of an event loop object, and the end of its background tasks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import anyio
import pytest
import trio

from multirouter.errors import UsageError
from multirouter.runtime.event_loops.base import BackgroundTask
from multirouter.runtime.event_loops.running_loop import running_loop
from multirouter.testing import VirtualClock
from tests.runtime.test_event_loops import fail_on_error, open_loop

asyncio_only = pytest.mark.backends("asyncio", "uvloop")
trio_only = pytest.mark.backends("trio")


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
