"""The event loop as a router sees it: its clock, its deadlines, its background tasks."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio import _get_running_loop  # exported, and unlike its namesake never raises
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Literal, Protocol

import anyio

from multirouter.deadline import AsyncioDeadlines, Bound, TrioDeadlines
from multirouter.errors import UsageError

if TYPE_CHECKING:
    from typing import Self

    import trio

Broken = Callable[[str, BaseException], None]
"""Told the name of a background task that ended with an exception, and the exception."""

INSISTENCE = 1.0
"""Seconds after which a background task that swallowed its cancellation is cancelled again."""


class Background(Protocol):
    """A background task."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        ...

    def cancel(self) -> None:
        """Asks it to end; may be called at any time, and again."""
        ...


class EventLoop(Protocol):
    """What a router needs of the loop it runs in. Use it in that loop's thread only.

    Attributes:
        name: which library runs the loop.
        time: the loop's own clock, in seconds.
        bound: makes the block that bounds one await, see `deadline.Bound`.
    """

    name: Literal["asyncio", "trio"]
    time: Callable[[], float]
    bound: Callable[[float], Bound]

    async def __aenter__(self) -> Self:
        """Makes room for background tasks; asyncio has it without."""
        ...

    async def __aexit__(self, *problem: object) -> None:
        """As `close`; on trio no more background tasks can be spawned afterwards."""
        ...

    def current(self) -> bool:
        """Whether this is the loop that the caller runs in, from whatever thread it asks."""
        ...

    def alive(self) -> bool:
        """Whether the loop is still running somewhere, in another thread perhaps."""
        ...

    def spawn(
        self, name: str, function: Callable[..., Awaitable[None]], *args: object
    ) -> Background:
        """Starts a task that nobody awaits; it begins after the caller's next await, not before.

        It runs in an empty context of its own: what a request has set there ends with the request.
        Its exception goes to `broken`; its cancellation is silent. After `close`, nothing is
        started and the result is done: a late attempt that ends after the router must not fail.

        Raises:
            UsageError: on trio, when the loop was not entered by `async with`.
        """
        ...

    async def close(self) -> None:
        """Cancels all background tasks and waits until they have ended; the caller's own is left.

        When it is itself cancelled, it still waits for them: the cancellation of an asyncio task
        is raised once they have ended, that of a scope at the next checkpoint.
        """
        ...


class Finished:
    """A background task that was never started, because the loop was closed already."""

    done = True

    def cancel(self) -> None:
        """Has nothing to cancel."""


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


class TrioBackground:
    """A background task on trio: shielded, so that the end of the loop object is the one end."""

    def __init__(self, name: str, scope: anyio.CancelScope, ended: trio.Event) -> None:
        self.name = name
        self.scope = scope
        self.ended = ended
        self.task: trio.lowlevel.Task | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.ended.is_set()

    def cancel(self) -> None:
        """Asks it to end."""
        self.scope.cancel()


class TrioLoop:
    """A run of trio; its background tasks live in a nursery, so it is opened by `async with`.

    Args:
        broken: told of exceptions in background tasks.
    """

    name: Literal["asyncio", "trio"] = "trio"

    def __init__(self, broken: Broken) -> None:
        import trio

        self._trio = trio
        self.time: Callable[[], float] = trio.current_time
        self.bound: Callable[[float], Bound] = TrioDeadlines().bound
        self._token = trio.lowlevel.current_trio_token()
        self._broken = broken
        self._tasks: dict[TrioBackground, None] = {}
        self._manager: Any = None
        self._nursery: trio.Nursery | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<TrioLoop tasks={[task.name for task in self._tasks]} closed={self._closed}>"

    async def __aenter__(self) -> Self:
        if self._nursery is not None:
            raise UsageError("this router is already open: enter `async with router:` once")
        self._manager = self._trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        return self

    async def __aexit__(self, *problem: object) -> None:
        try:
            await self.close()
        finally:
            # Without the body's exception: it would come out wrapped into a group.
            await self._manager.__aexit__(None, None, None)

    def current(self) -> bool:
        """Whether the caller runs in this run of trio."""
        try:
            return self._trio.lowlevel.current_trio_token() is self._token
        except RuntimeError:
            return False

    def alive(self) -> bool:
        """Whether the run has not ended; trio tells it to who posts something (here: nothing)."""
        try:
            self._token.run_sync_soon(bool, idempotent=True)
        except self._trio.RunFinishedError:
            return False
        return True

    def spawn(
        self, name: str, function: Callable[..., Awaitable[None]], *args: object
    ) -> Background:
        """Starts a background task, see `EventLoop.spawn`."""
        if self._closed:
            return Finished()
        if self._nursery is None:
            raise UsageError(
                "on trio, open the router with `async with router:`: its background tasks "
                f"(here: {name}) need it"
            )
        task = TrioBackground(name, anyio.CancelScope(shield=True), self._trio.Event())
        self._tasks[task] = None
        start = self._nursery.start_soon  # copies the context that it is called in
        Context().run(lambda: start(self._run, task, function, args, name=f"multirouter {name}"))
        return task

    async def close(self) -> None:
        """Ends all background tasks, see `EventLoop.close`."""
        self._closed = True
        current = self._trio.lowlevel.current_task()
        others = [task for task in self._tasks if task.task is not current]
        for task in others:
            task.cancel()
        with anyio.CancelScope(shield=True):
            for task in others:
                await task.ended.wait()

    async def _run(
        self,
        task: TrioBackground,
        function: Callable[..., Awaitable[None]],
        args: tuple[object, ...],
    ) -> None:
        task.task = self._trio.lowlevel.current_task()
        try:
            with task.scope:
                await function(*args)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
            self._broken(task.name, error)
        finally:
            del self._tasks[task]
            task.ended.set()


def running_loop(broken: Broken) -> EventLoop:
    """The event loop that the caller runs in.

    Args:
        broken: told the name of a background task that ended with an exception, and the exception.

    Raises:
        UsageError: outside of any loop.
    """
    # trio first: as a guest it runs inside of an asyncio loop.
    if _in_trio():
        return TrioLoop(broken)
    try:
        return AsyncioLoop(asyncio.get_running_loop(), broken)
    except RuntimeError:
        raise UsageError("no event loop is running: await this inside asyncio or trio") from None


def _in_trio() -> bool:
    """Whether a task of trio is running here; who has not imported it runs none."""
    lowlevel = sys.modules.get("trio.lowlevel")
    try:
        return lowlevel is not None and lowlevel.current_task() is not None
    except RuntimeError:
        return False
