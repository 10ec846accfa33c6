"""Child tasks of a call on asyncio: how they are started, cancelled and awaited at its end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

RECANCEL_INTERVAL = 1.0
"""Seconds that a task's cleanup may take before the task is cancelled again."""


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
            await end_tasks([*self._tasks])
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
        task = asyncio.Task(run(function, args), loop=self._loop, name=f"multirouter {name}")
        self._tasks[task] = on_end
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        on_end = self._tasks.pop(task, None)
        if on_end is not None:
            on_end()


async def run(function: Callable[..., Awaitable[None]], args: tuple[object, ...]) -> None:
    """Awaits what `function` returns; makes a coroutine of any awaitable."""
    await function(*args)


async def end_tasks(
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
