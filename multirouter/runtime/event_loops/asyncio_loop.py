"""An asyncio loop as a router sees it; loaded when one is met."""

from __future__ import annotations

import asyncio
import time
from asyncio import _get_running_loop  # exported, and unlike its namesake never raises
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Literal

import anyio

from multirouter.runtime.deadline import AsyncioDeadlines, Bound
from multirouter.runtime.event_loops.base import Background, Broken, Finished

if TYPE_CHECKING:
    from typing import Self

INSISTENCE = 1.0
"""Seconds after which a background task that swallowed its cancellation is cancelled again."""


class AsyncioBackground:
    """A background task on asyncio."""

    __slots__ = ("_task",)

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    def cancel(self) -> None:
        """Asks it to end."""
        self._task.cancel()


class AsyncioLoop:
    """An asyncio loop, uvloop's too; its background tasks need no `async with`.

    Args:
        loop: the running loop.
        broken: told of exceptions in background tasks.
    """

    name: Literal["asyncio", "trio"] = "asyncio"

    def __init__(self, loop: asyncio.AbstractEventLoop, broken: Broken) -> None:
        stock = type(loop).time is asyncio.BaseEventLoop.time  # which is a frame around monotonic
        self.time: Callable[[], float] = time.monotonic if stock else loop.time
        self._deadlines = AsyncioDeadlines(loop)
        self.bound: Callable[[float], Bound] = self._deadlines.bound
        self._loop = loop
        self._broken = broken
        # Not a set: closing cancels in the order of spawning.
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<AsyncioLoop tasks={list(self._tasks.values())} closed={self._closed}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self.close()

    def current(self) -> bool:
        """Whether the caller runs in this loop."""
        return _get_running_loop() is self._loop

    def alive(self) -> bool:
        """Whether the loop is running somewhere; a stopped one may be left behind."""
        return self._loop.is_running()

    def spawn(
        self, name: str, function: Callable[..., Awaitable[None]], *args: object
    ) -> Background:
        """Starts a background task, see `EventLoop.spawn`."""
        if self._closed:
            return Finished()
        context = Context()
        # Not by `loop.create_task`: an eager task factory would run it inside of the caller.
        task = asyncio.Task(
            _run(function, args), loop=self._loop, name=f"multirouter {name}", context=context
        )
        self._tasks[task] = name
        task.add_done_callback(self._ended, context=context)
        return AsyncioBackground(task)

    async def close(self) -> None:
        """Ends all background tasks, see `EventLoop.close`."""
        self._closed = True
        cancelled: asyncio.CancelledError | None = None
        current = asyncio.current_task()
        others = again = [task for task in self._tasks if task is not current]
        # A cancelled scope of anyio cancels at every turn of the loop whoever is not shielded.
        with anyio.CancelScope(shield=True):
            while others:
                for task in again:
                    task.cancel()
                try:
                    await asyncio.wait(others, timeout=INSISTENCE)
                    others = again = [task for task in others if not task.done()]
                except asyncio.CancelledError as error:
                    # Waits on, and leaves the tasks to end in their own way.
                    cancelled, again = error, []
        self._deadlines.close()
        if cancelled is not None:
            raise cancelled

    def _ended(self, task: asyncio.Task[None]) -> None:
        name = self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken(name, error)


async def _run(function: Callable[..., Awaitable[None]], args: tuple[object, ...]) -> None:
    """Makes a coroutine of any awaitable."""
    await function(*args)
