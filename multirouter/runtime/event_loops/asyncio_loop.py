"""The `EventLoop` of asyncio and uvloop; imported only when the caller runs in one."""

from __future__ import annotations

import asyncio
import os
import time
from asyncio import _get_running_loop  # exported, and unlike its namesake never raises
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Literal

from multirouter.runtime.event_loops.asyncio_child_tasks import (
    AsyncioChildTasks,
    end_tasks,
    run,
)
from multirouter.runtime.event_loops.asyncio_deadlines import AsyncioDeadlines
from multirouter.runtime.event_loops.base import (
    BackgroundTask,
    ErrorHandler,
    FinishedTask,
    Timer,
)
from multirouter.runtime.event_loops.call_soon import CallSoon
from multirouter.runtime.event_loops.deadline import MakeBound
from multirouter.runtime.event_loops.stalls import StallWatch

if TYPE_CHECKING:
    from typing import Self

END_TIMEOUT = 3.0
"""Seconds that background tasks may take to end after their cancellation."""


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
        # Its own method only calls time.monotonic; a test may replace it, also on the instance.
        stock = getattr(loop.time, "__func__", None) is asyncio.BaseEventLoop.time
        self.time: Callable[[], float] = time.monotonic if stock else loop.time
        self._deadlines = AsyncioDeadlines(loop)
        self.bound: MakeBound = self._deadlines.bound
        self.stalls: StallWatch = self._deadlines
        self._loop = loop
        self.call_soon: CallSoon = loop.call_soon_threadsafe
        self._process = os.getpid()
        self._on_error = on_error
        # A dict for its order: closing cancels in the order of spawning.
        self._tasks: dict[asyncio.Task[None], tuple[str, Callable[[], None] | None]] = {}
        self._closed = False

    def __repr__(self) -> str:
        names = [name for name, _ in self._tasks.values()]
        return f"<AsyncioLoop tasks={names} closed={self._closed}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self.close()

    def is_current(self) -> bool:
        """Whether the caller runs in this loop."""
        return _get_running_loop() is self._loop

    def is_running(self) -> bool:
        """Whether the loop is running, see `EventLoop.is_running`."""
        return os.getpid() == self._process and self._loop.is_running()

    def is_closed(self) -> bool:
        """Whether the loop was closed, see `EventLoop.is_closed`."""
        return self._loop.is_closed()

    def spawn(
        self,
        name: str,
        function: Callable[..., Awaitable[None]],
        *args: object,
        context: Context | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> BackgroundTask:
        """Starts a background task, see `EventLoop.spawn`."""
        if self._closed or self._loop.is_closed():
            if on_end is not None:
                on_end()
            return FinishedTask()
        context = Context() if context is None else context
        # Not `loop.create_task`: an eager task factory would run it inside the caller.
        task = asyncio.Task(
            run(function, args), loop=self._loop, name=f"multirouter {name}", context=context
        )
        self._tasks[task] = name, on_end
        task.add_done_callback(self._ended, context=context)
        return AsyncioBackgroundTask(task)

    def child_tasks(self) -> AsyncioChildTasks:
        """Tasks of the caller, see `EventLoop.child_tasks`."""
        return AsyncioChildTasks(self._loop)

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

    async def close(self, grace: float = 0.0) -> None:
        """Ends all background tasks, see `EventLoop.close`."""
        self._closed = True
        current = asyncio.current_task()
        others = [task for task in self._tasks if task is not current]
        try:
            await end_tasks(others, grace, END_TIMEOUT)
        finally:
            self._deadlines.close()
            for task in [task for task in others if task in self._tasks and not task.done()]:
                error = TimeoutError(f"did not end {END_TIMEOUT:g} s after its cancellation")
                self._on_error(self._tasks.pop(task)[0], error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        name, on_end = self._tasks.pop(task, ("", None))
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(name, error)
        if on_end is not None:
            on_end()
