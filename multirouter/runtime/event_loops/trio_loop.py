"""The `EventLoop` of trio; imported only when the caller runs in trio."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Literal

import anyio
import trio

from multirouter.errors import UsageError
from multirouter.runtime.event_loops.base import (
    BackgroundTask,
    ErrorHandler,
    FinishedTask,
    Timer,
)
from multirouter.runtime.event_loops.trio_child_tasks import TrioChildTasks
from multirouter.runtime.event_loops.trio_deadlines import TrioDeadlines

if TYPE_CHECKING:
    from typing import Self

    from multirouter.runtime.event_loops.call_soon import CallSoon
    from multirouter.runtime.event_loops.deadline import MakeBound  # which loads asyncio
from multirouter.runtime.event_loops.stalls import StallWatch


class TrioBackgroundTask:
    """A background task on trio: shielded, so that only `cancel` and `close` end it."""

    def __init__(self, name: str, on_end: Callable[[], None] | None) -> None:
        self.name = name
        self.on_end = on_end
        self.scope: anyio.CancelScope = anyio.CancelScope(shield=True)
        self.ended: trio.Event = trio.Event()
        self.task: trio.lowlevel.Task | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.ended.is_set()

    def cancel(self) -> None:
        """Cancels it."""
        self.scope.cancel()


class TrioLoop:
    """A run of trio; its background tasks need a nursery, which `async with` opens.

    Args:
        on_error: called with the name and the exception of a background task that failed.
    """

    name: Literal["asyncio", "trio"] = "trio"

    def __init__(self, on_error: ErrorHandler) -> None:
        self.time: Callable[[], float] = trio.current_time
        self._deadlines = TrioDeadlines()
        self.bound: MakeBound = self._deadlines.bound
        self.stalls: StallWatch = self._deadlines
        self._token = trio.lowlevel.current_trio_token()
        self.call_soon: CallSoon = self._token.run_sync_soon
        self._process = os.getpid()
        self._on_error = on_error
        self._tasks: dict[TrioBackgroundTask, None] = {}
        self._manager: Any = None
        self._nursery: trio.Nursery | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<TrioLoop tasks={[task.name for task in self._tasks]} closed={self._closed}>"

    async def __aenter__(self) -> Self:
        if self._nursery is not None:
            raise UsageError("this router is already open: enter `async with router:` once")
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        self._deadlines.spawn = self.spawn
        return self

    async def __aexit__(self, *problem: object) -> None:
        try:
            await self.close()
        finally:
            # Without the body's exception: the nursery would wrap it in a group.
            await self._manager.__aexit__(None, None, None)

    def is_current(self) -> bool:
        """Whether the caller runs in this run of trio."""
        try:
            return trio.lowlevel.current_trio_token() is self._token
        except RuntimeError:
            return False

    def is_running(self) -> bool:
        """Whether the run has not ended: trio raises RunFinishedError for a callback after it."""
        if os.getpid() != self._process:
            return False
        try:
            self._token.run_sync_soon(bool, idempotent=True)
        except trio.RunFinishedError:
            return False
        return True

    def is_closed(self) -> bool:
        """Always False: a run of trio ends all its tasks before it ends."""
        return False

    def spawn(
        self,
        name: str,
        function: Callable[..., Awaitable[None]],
        *args: object,
        context: Context | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> BackgroundTask:
        """Starts a background task, see `EventLoop.spawn`."""
        if self._closed:
            if on_end is not None:
                on_end()
            return FinishedTask()
        if self._nursery is None:
            raise UsageError(
                "on trio, open the router with `async with router:`: its background tasks "
                f"(here: {name}) need it"
            )
        task = TrioBackgroundTask(name, on_end)
        self._tasks[task] = None
        start = self._nursery.start_soon  # copies the context that it is called in
        context = Context() if context is None else context
        context.run(lambda: start(self._run, task, function, args, name=f"multirouter {name}"))
        return task

    def child_tasks(self) -> TrioChildTasks:
        """Tasks of the caller, see `EventLoop.child_tasks`."""
        return TrioChildTasks()

    def call_at(self, name: str, when: float, function: Callable[[], None]) -> Timer:
        """Calls a function once, see `EventLoop.call_at`."""

        async def run() -> None:
            await trio.sleep_until(when)
            await trio.lowlevel.checkpoint_if_cancelled()
            function()

        return self.spawn(name, run)

    async def close(self, grace: float = 0.0) -> None:
        """Ends all background tasks, see `EventLoop.close`."""
        self._closed = True
        current = trio.lowlevel.current_task()
        others = [task for task in self._tasks if task.task is not current]
        if grace:
            with anyio.move_on_after(grace, shield=True):
                for task in others:
                    await task.ended.wait()
        for task in others:
            task.cancel()
        with anyio.CancelScope(shield=True):
            for task in others:
                await task.ended.wait()

    async def _run(
        self,
        task: TrioBackgroundTask,
        function: Callable[..., Awaitable[None]],
        args: tuple[object, ...],
    ) -> None:
        task.task = trio.lowlevel.current_task()
        try:
            with task.scope:
                await function(*args)
        except Exception as error:  # noqa: BLE001 - the other background tasks go on
            self._on_error(task.name, error)
        finally:
            del self._tasks[task]
            task.ended.set()
            if task.on_end is not None:
                task.on_end()
