"""The `EventLoop` of asyncio and uvloop; imported only when the caller runs in one."""

from __future__ import annotations

import asyncio
import time
from asyncio import _get_running_loop  # exported, and unlike its namesake never raises
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Literal

import anyio

from multirouter.runtime.deadline import MakeBound
from multirouter.runtime.deadline_timer import AsyncioDeadlines
from multirouter.runtime.event_loops.base import (
    BackgroundTask,
    ErrorHandler,
    FinishedTask,
    Timer,
)
from multirouter.runtime.stalls import StallWatch

if TYPE_CHECKING:
    from typing import Self

RECANCEL_INTERVAL = 1.0
"""Seconds after which a background task that swallowed a cancellation is cancelled again."""


class AsyncioBackgroundTask:
    """A background task on asyncio."""

    __slots__ = ("_task",)

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    def cancel(self) -> None:
        """Cancels it."""
        self._task.cancel()


class AsyncioLoop:
    """A loop of asyncio or uvloop; its background tasks need no `async with`.

    Args:
        loop: the running loop.
        on_error: called with the name and the exception of a background task that failed.
    """

    name: Literal["asyncio", "trio"] = "asyncio"

    def __init__(self, loop: asyncio.AbstractEventLoop, on_error: ErrorHandler) -> None:
        stock = type(loop).time is asyncio.BaseEventLoop.time  # which only calls time.monotonic
        self.time: Callable[[], float] = time.monotonic if stock else loop.time
        self._deadlines = AsyncioDeadlines(loop)
        self.bound: MakeBound = self._deadlines.bound
        self.stalls: StallWatch = self._deadlines
        self._loop = loop
        self._on_error = on_error
        # A dict for its order: closing cancels in the order of spawning.
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<AsyncioLoop tasks={list(self._tasks.values())} closed={self._closed}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self.close()

    def is_current(self) -> bool:
        """Whether the caller runs in this loop."""
        return _get_running_loop() is self._loop

    def is_running(self) -> bool:
        """Whether the loop is running, in any thread; a router may leave a stopped one."""
        return self._loop.is_running()

    def spawn(
        self, name: str, function: Callable[..., Awaitable[None]], *args: object
    ) -> BackgroundTask:
        """Starts a background task, see `EventLoop.spawn`."""
        if self._closed:
            return FinishedTask()
        context = Context()
        # Not `loop.create_task`: an eager task factory would run it inside the caller.
        task = asyncio.Task(
            _run(function, args), loop=self._loop, name=f"multirouter {name}", context=context
        )
        self._tasks[task] = name
        task.add_done_callback(self._ended, context=context)
        return AsyncioBackgroundTask(task)

    def call_at(self, name: str, when: float, function: Callable[[], None]) -> Timer:
        """Calls a function once, see `EventLoop.call_at`."""
        if self._closed or self._loop.is_closed():
            return FinishedTask()
        return self._loop.call_at(when, self._fire, name, function, context=Context())

    def _fire(self, name: str, function: Callable[[], None]) -> None:
        if self._closed:
            return
        try:
            function()
        except Exception as error:  # noqa: BLE001 - the loop goes on
            self._on_error(name, error)

    async def close(self) -> None:
        """Ends all background tasks, see `EventLoop.close`."""
        self._closed = True
        cancelled: asyncio.CancelledError | None = None
        current = asyncio.current_task()
        others = again = [task for task in self._tasks if task is not current]
        # A cancelled scope of anyio cancels unshielded tasks in every iteration of the loop.
        with anyio.CancelScope(shield=True):
            while others:
                for task in again:
                    task.cancel()
                try:
                    await asyncio.wait(others, timeout=RECANCEL_INTERVAL)
                    others = again = [task for task in others if not task.done()]
                except asyncio.CancelledError as error:
                    # Keep waiting; do not cancel the tasks again during their cleanup.
                    cancelled, again = error, []
        self._deadlines.close()
        if cancelled is not None:
            raise cancelled

    def _ended(self, task: asyncio.Task[None]) -> None:
        name = self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(name, error)


async def _run(function: Callable[..., Awaitable[None]], args: tuple[object, ...]) -> None:
    """Awaits what `function` returns; makes a coroutine of any awaitable."""
    await function(*args)
