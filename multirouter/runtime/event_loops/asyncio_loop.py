"""The `EventLoop` of asyncio and uvloop; imported only when the caller runs in one."""

from __future__ import annotations

import asyncio
import math
import os
import time
from asyncio import _get_running_loop  # exported, and unlike its namesake never raises
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Literal

import anyio

from multirouter.runtime.deadline import MakeBound
from multirouter.runtime.event_loops.asyncio_deadlines import AsyncioDeadlines
from multirouter.runtime.event_loops.base import (
    BackgroundTask,
    ErrorHandler,
    FinishedTask,
    Timer,
)
from multirouter.runtime.event_loops.stalls import StallWatch

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

RECANCEL_INTERVAL = 1.0
"""Seconds that a task's cleanup may take before the task is cancelled again."""

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


class AsyncioChildTasks:
    """Tasks of one call on asyncio, see `ChildTasks`.

    A task group would not do: that of anyio cancels its tasks at each await, and may take back
    cancellations of the call that others made.
    """

    __slots__ = ("_loop", "_tasks", "ending")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # What to call at the end of each task that runs, in the order of their start.
        self._tasks: dict[asyncio.Task[None], Callable[[], None]] = {}
        self.ending: bool = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ending = True
        if isinstance(error, GeneratorExit):  # the call was dropped: awaiting is impossible
            _cancel([*self._tasks])
            return
        try:
            await _end([*self._tasks])
        finally:
            for task in [task for task in self._tasks if task.done()]:
                self._ended(task)  # its callback has not run yet

    def start(
        self,
        name: str,
        function: Callable[..., Awaitable[None]],
        *args: object,
        on_end: Callable[[], None],
    ) -> None:
        """Starts a task, see `ChildTasks.start`."""
        # Not `loop.create_task`: an eager task factory would run it inside the caller.
        task = asyncio.Task(_run(function, args), loop=self._loop, name=f"multirouter {name}")
        self._tasks[task] = on_end
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        on_end = self._tasks.pop(task, None)
        if on_end is not None:
            on_end()


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
            _run(function, args), loop=self._loop, name=f"multirouter {name}", context=context
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
            await _end(others, grace, END_TIMEOUT)
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


async def _run(function: Callable[..., Awaitable[None]], args: tuple[object, ...]) -> None:
    """Awaits what `function` returns; makes a coroutine of any awaitable."""
    await function(*args)


async def _end(
    tasks: list[asyncio.Task[None]], grace: float = 0.0, limit: float = math.inf
) -> None:
    """Cancels tasks and waits until they have ended, even while the caller is cancelled.

    They are cancelled again after each `RECANCEL_INTERVAL`, and not with the caller, so that their
    cleanup may await.

    Args:
        tasks: the tasks.
        grace: seconds in which they may end by themselves.
        limit: seconds to wait after they were first cancelled.

    Raises:
        CancelledError: when the caller was cancelled meanwhile; once they have ended.
    """
    cancelled: asyncio.CancelledError | None = None
    running = [task for task in tasks if not task.done()]
    if not running:
        return
    loop = asyncio.get_running_loop()
    cancel_at = loop.time() + grace
    end_at = cancel_at + limit
    # A cancelled scope of anyio would cancel the caller in every iteration of the loop.
    with anyio.CancelScope(shield=True):
        while running and loop.time() < end_at:
            now = loop.time()
            if now >= cancel_at:
                _cancel(running)
                cancel_at = now + RECANCEL_INTERVAL
            try:
                await asyncio.wait(running, timeout=min(cancel_at, end_at) - now)
            except asyncio.CancelledError as error:
                cancelled = error
            running = [task for task in running if not task.done()]
    if cancelled is not None:
        raise cancelled


def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    """Cancels tasks in their order; one whose future fails to be cancelled stops no other."""
    for task in tasks:
        with suppress(Exception):
            task.cancel()
