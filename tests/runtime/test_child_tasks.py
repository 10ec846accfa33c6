"""Tasks of one call: they end before the call does, and their cleanup may await."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from functools import partial

import anyio
import pytest

from multirouter.runtime.event_loops.base import EventLoop
from multirouter.runtime.event_loops.running_loop import running_loop

asyncio_only = pytest.mark.backends("asyncio", "uvloop")


def loop() -> EventLoop:
    def fail(name: str, error: BaseException) -> None:
        raise AssertionError(f"{name} failed with {error!r}")

    return running_loop(fail)


def nothing() -> None:
    """An `on_end` that does nothing."""


async def test_leaving_the_block_cancels_and_awaits_the_tasks() -> None:
    """All have ended when the block is left, those that ended by themselves too."""
    events: list[str] = []

    async def work(name: str, seconds: float) -> None:
        try:
            await anyio.sleep(seconds)
            events.append(f"{name} returned")
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)
            events.append(f"{name} cleaned up")

    began = anyio.current_time()
    async with loop().child_tasks() as tasks:
        tasks.start("quick", work, "quick", 1, on_end=lambda: events.append("quick ended"))
        tasks.start("slow", work, "slow", 60, on_end=lambda: events.append("slow ended"))
        ending = [tasks.ending]
        await anyio.sleep(2)
    assert [*ending, tasks.ending] == [False, True]
    assert anyio.current_time() == pytest.approx(began + 2.5)
    assert events == [
        "quick returned",
        "quick cleaned up",
        "quick ended",
        "slow cleaned up",
        "slow ended",
    ]


async def test_a_task_begins_later_in_a_copy_of_the_callers_context() -> None:
    """It sees the caller's variables, and sets its own."""
    variable = ContextVar("variable", default="nothing")
    seen: list[str] = []

    async def work() -> None:
        seen.append(variable.get())
        variable.set("the task's")

    variable.set("the caller's")
    async with loop().child_tasks() as tasks:
        tasks.start("work", work, on_end=nothing)
        assert seen == []
        await anyio.sleep(1)
    assert (seen, variable.get()) == (["the caller's"], "the caller's")


async def test_a_scope_of_the_caller_does_not_reach_the_tasks() -> None:
    """The caller leaves the block, which ends them; the scope ends the caller afterwards."""
    events: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)
            events.append("task")

    with anyio.move_on_after(1) as scope:
        try:
            async with loop().child_tasks() as tasks:
                tasks.start("work", work, on_end=nothing)
                await anyio.sleep_forever()
        finally:
            events.append("caller")
    assert scope.cancelled_caught
    assert events == ["task", "caller"]


@asyncio_only
async def test_cleanup_may_await_for_a_second() -> None:
    """Then the task is cancelled again, and after each further second."""
    began = anyio.current_time()
    cancelled: list[float] = []

    async def stubborn() -> None:
        while len(cancelled) < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(anyio.current_time() - began)

    async with loop().child_tasks() as tasks:
        tasks.start("stubborn", stubborn, on_end=nothing)
        await asyncio.sleep(1)
    assert cancelled == pytest.approx([1.0, 2.0, 3.0])


@asyncio_only
@pytest.mark.parametrize("times", [1, 2])
async def test_a_caller_that_is_cancelled_meanwhile_waits(times: int) -> None:
    """It raises its cancellation when the tasks have ended, and does not cut their cleanup."""
    ended: list[float] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.9)
            ended.append(anyio.current_time())

    async def caller() -> None:
        async with loop().child_tasks() as tasks:
            tasks.start("work", work, on_end=nothing)
            await asyncio.sleep(1)

    began = anyio.current_time()
    task = asyncio.create_task(caller())
    for number in range(times):
        await asyncio.sleep(1.25 if not number else 0.25)
        task.cancel()
    await asyncio.wait([task])
    assert ended == [pytest.approx(began + 1.9)]
    assert task.cancelled()
    assert task.cancelling() == times


@asyncio_only
async def test_a_task_that_is_cancelled_before_it_begins_has_ended() -> None:
    """`on_end` is called although the function never ran."""
    events: list[str] = []

    async def work() -> None:
        events.append("began")

    async with loop().child_tasks() as tasks:
        tasks.start("work", work, on_end=lambda: events.append("ended"))
    assert events == ["ended"]


@asyncio_only
async def test_a_future_that_fails_to_be_cancelled_stops_no_other_task() -> None:
    """Its task is cancelled a second later, the others at once."""

    class Stubborn(asyncio.Future[None]):
        failed = False

        def cancel(self, msg: object = None) -> bool:
            if not self.failed:
                self.failed = True
                raise ValueError("no")
            return super().cancel(msg)

    async def wait_for_stubborn() -> None:
        await Stubborn(loop=asyncio.get_running_loop())

    ended: dict[str, float] = {}
    now = asyncio.get_running_loop().time
    began = now()
    async with loop().child_tasks() as tasks:
        for name, work in (("first", wait_for_stubborn), ("second", anyio.sleep_forever)):
            tasks.start(name, work, on_end=partial(lambda name: ended.update({name: now()}), name))
        await asyncio.sleep(0)
    assert ended == pytest.approx({"second": began, "first": began + 1})


@asyncio_only
async def test_a_caller_that_is_dropped_cancels_the_tasks() -> None:
    """Closing its coroutine cannot wait for them; they end by themselves."""
    events: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            events.append("cleaned up")

    async def caller() -> None:
        async with loop().child_tasks() as tasks:
            tasks.start("work", work, on_end=lambda: events.append("ended"))
            await asyncio.sleep(60)

    dropped = caller()
    dropped.send(None)
    await asyncio.sleep(1)
    dropped.close()
    await asyncio.sleep(1)
    assert events == ["cleaned up", "ended"]
