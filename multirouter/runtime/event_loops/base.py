"""The interface of an event loop: clock, deadlines, background tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from multirouter.runtime.event_loops.call_soon import CallSoon
    from multirouter.runtime.event_loops.deadline import MakeBound  # which loads asyncio
    from multirouter.runtime.event_loops.stalls import StallWatch


ErrorHandler = Callable[[str, BaseException], None]
"""Called with the name of a background task that failed, and its exception."""


class Timer(Protocol):
    """A function that is to be called once."""

    def cancel(self) -> None:
        """Makes sure that it is not called; may be called at any time, and repeatedly."""
        ...


class BackgroundTask(Protocol):
    """A background task."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        ...

    def cancel(self) -> None:
        """Cancels it; may be called at any time, and repeatedly."""
        ...


class ChildTasks(Protocol):
    """Tasks of one call, which end before the call does: an async context manager.

    Leaving the block cancels the tasks that still run, in the order of their start, and waits until
    they have ended. They are no part of a cancel scope of the call: a cancellation of the call
    reaches only the call, which leaves the block. So each of them is cancelled once, and its
    cleanup may await; on asyncio it is cancelled again after a second, and after each further one.
    On trio, awaits in a cancelled task need a shield, as everywhere.

    Attributes:
        ending: whether the block is being left: the tasks that still run are cancelled.
    """

    ending: bool

    async def __aenter__(self) -> Self:
        """Begins the block."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the tasks. A cancellation meanwhile is raised when they have ended."""
        ...

    def start(
        self,
        name: str,
        function: Callable[..., Awaitable[None]],
        *args: object,
        on_end: Callable[[], None],
    ) -> None:
        """Starts a task; it begins after the caller's next await, in a copy of its context.

        Args:
            name: what the task does, for its name.
            function: what to run; it raises nothing but its cancellation.
            args: its arguments.
            on_end: called when the task has ended, and before the block is left; also when the task
                was cancelled before it began.
        """
        ...


class EventLoop(Protocol):
    """An event loop that a router runs in. Use it only in that loop's thread.

    Attributes:
        name: the library of the loop.
        time: the loop's clock, seconds.
        bound: makes a block with a deadline, see `deadline.MakeBound`.
        stalls: notices the stalls of the loop.
        call_soon: schedules a function in the loop; any thread may call it.
    """

    name: Literal["asyncio", "trio"]
    time: Callable[[], float]
    bound: MakeBound
    stalls: StallWatch
    call_soon: CallSoon

    async def __aenter__(self) -> Self:
        """Opens the loop object for background tasks; needed on trio only."""
        ...

    async def __aexit__(self, *problem: object) -> None:
        """Closes it, see `close`; on trio no background task can be spawned afterwards."""
        ...

    def is_current(self) -> bool:
        """Whether the caller runs in this loop; may be called from any thread."""
        ...

    def is_running(self) -> bool:
        """Whether the loop is still running, in this or another thread of this process."""
        ...

    def is_closed(self) -> bool:
        """Whether the loop was closed, so that no task in it can ever go on."""
        ...

    def spawn(
        self,
        name: str,
        function: Callable[..., Awaitable[None]],
        *args: object,
        context: Context | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> BackgroundTask:
        """Starts a background task; it begins after the caller's next await, not before.

        Its exception is passed to `on_error`; its cancellation is not reported. After `close`
        nothing is started and the returned task is done, so that an attempt that ends after the
        router does not fail.

        Args:
            name: what the task does, for its name and for errors.
            function: what to run.
            args: its arguments.
            context: where it runs; it must not be entered. Work for a call runs in a copy of the
                call's context. Left out, an empty context, so that timers and alarms keep no
                request's variables alive.
            on_end: called when it has ended, also when it was cancelled before it began, or could
                not be started after `close`.

        Raises:
            UsageError: on trio, when the loop object was not entered by `async with`.
        """
        ...

    def child_tasks(self) -> ChildTasks:
        """Tasks of the caller, to be entered by `async with`."""
        ...

    def call_at(self, name: str, when: float, function: Callable[[], None]) -> Timer:
        """Calls a function once, at a loop time (seconds); on uvloop up to 0.5 ms before it.

        After `close` it is not called. What it raises is passed to `on_error`. On asyncio it is no
        task, so it neither keeps the loop busy nor ends when all tasks are cancelled.

        Raises:
            UsageError: as for `spawn`.
        """
        ...

    async def close(self, grace: float = 0.0) -> None:
        """Ends all background tasks except the caller's.

        They may end by themselves for `grace` seconds, and are cancelled then. On asyncio one that
        has not ended `END_TIMEOUT` seconds later is reported to `on_error` and left alone; on trio
        a task that ignores its cancellation cannot be left.

        When `close` itself is cancelled it still waits: the cancellation of an asyncio task is
        raised once they have ended, that of a cancel scope at the next checkpoint.
        """
        ...


class FinishedTask:
    """A background task that was never started because the loop was closed."""

    done = True

    def cancel(self) -> None:
        """Does nothing: the task never started."""
