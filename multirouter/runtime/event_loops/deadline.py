"""Blocks with a deadline around single awaits: their interface, and that of asyncio tasks."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Protocol

from multirouter.errors import UsageError
from multirouter.runtime.event_loops.task_cancellation import (
    OUR_MESSAGE,
    hidden_behind,
    is_requested,
    take_back_leftovers,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Bound(Protocol):
    """A block with a deadline: a synchronous context manager, entered once.

    Attributes:
        expired: set at the exit. True when the deadline ended the block: its cancellation was
            swallowed, or the block turned it into another exception, which propagates. False when
            the block returned in spite of the cancellation, and when the caller cancelled too: the
            caller's cancellation wins, whichever came first, and propagates, even from a block
            that turned it into another exception.
        deadline: loop time at which the deadline ends the block, seconds. A stall of the event
            loop moves it while the block is open.
        stray: set at the exit. True when a CancelledError came out of the block although no task
            was cancelled; it was swallowed. Always False on trio, where it cannot be raised.
    """

    expired: bool
    stray: bool

    @property
    def deadline(self) -> float:
        """See the class."""
        ...

    @property
    def cancelled_by_others(self) -> bool:
        """Whether another party has cancelled the task since the block was entered.

        Always False on trio, where a task is cancelled by scopes only.
        """
        ...

    def __enter__(self) -> Self:
        """Starts to bound the running task."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Ends the block; True when the exception was swallowed."""
        ...

    def expire(self) -> bool:
        """Ends the block now, from another task, as its deadline would.

        Returns:
            Whether the block was open.
        """
        ...


class MakeBound(Protocol):
    """Makes a block with a deadline."""

    def __call__(self, deadline: float, latest: float = math.inf, /) -> Bound:
        """Makes a block.

        Args:
            deadline: loop time, seconds; `math.inf`: without limit.
            latest: loop time beyond which a stall of the event loop does not move the deadline: a
                promise to the caller.
        """
        ...


class OpenBlocks(Protocol):
    """The open blocks of one router on asyncio, behind one timer.

    Attributes:
        loop: the loop of the tasks.
        earliest: loop time of the earliest deadline, seconds.
        entered: the blocks entered since a deadline last passed, in this order.
    """

    loop: asyncio.AbstractEventLoop
    earliest: float
    entered: dict[AsyncioBound, None]

    def set_earliest(self, deadline: float) -> None:
        """Sets the timer for a deadline that is earlier than all others (loop time, seconds)."""
        ...

    def discard(self, bound: AsyncioBound) -> None:
        """Forgets a block that ended after a deadline had passed."""
        ...


class AsyncioBound:
    """A block of one asyncio task, with the rules of `asyncio.timeout`.

    Source: CPython 3.13, Lib/asyncio/timeouts.py, `Timeout.__aexit__`: each own `cancel()` is taken
    back by `uncancel()`; a count above that at entry means that another party cancelled.
    """

    __slots__ = (
        "_cancelling_before",
        "_cancels",
        "_deadlines",
        "deadline",
        "expired",
        "latest",
        "stray",
        "task",
    )

    def __init__(self, deadlines: OpenBlocks, deadline: float, latest: float = math.inf) -> None:
        self._deadlines = deadlines
        self._cancels = 0
        self.deadline: float = deadline
        self.latest: float = latest
        self.expired: bool = False
        self.stray: bool = False

    def __enter__(self) -> Self:
        deadlines = self._deadlines
        task = asyncio.current_task(deadlines.loop)
        if task is None:
            raise UsageError("a deadline needs a running task: await this inside a task")
        self.task: asyncio.Task[object] | None = task
        before = task.cancelling()
        # A cancellation that the next await will raise came before the block, and is not its own.
        self._cancelling_before = before - 1 if before and is_requested(task) else before
        if self.deadline < deadlines.earliest:
            deadlines.set_earliest(self.deadline)
        deadlines.entered[self] = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        task = self.task
        try:
            del self._deadlines.entered[self]
        except KeyError:
            self._deadlines.discard(self)
        if task is None or (kind is None and not self._cancels):
            return False
        return self._settle(task, kind, error)

    @property
    def cancelled_by_others(self) -> bool:
        """See `Bound`."""
        task = self.task
        return task is not None and task.cancelling() - self._cancels > self._cancelling_before

    @property
    def cancelled(self) -> bool:
        """Whether its deadline has passed: it was cancelled, and still runs."""
        return self._cancels > 0

    def expire(self) -> bool:
        """Cancels the block, also repeatedly; False when its task ended without leaving it."""
        task = self.task
        if task is None:
            return False
        # A second cancellation before the task's next step replaces the message of the first, by
        # which a cancel scope of anyio recognises its own: so pass the same message.
        first = getattr(task, "_cancel_message", None) if is_requested(task) else OUR_MESSAGE
        if not task.cancel(first):
            return False
        self._cancels += 1
        return True

    def _settle(
        self,
        task: asyncio.Task[object],
        kind: type[BaseException] | None,
        error: BaseException | None,
    ) -> bool:
        """Takes back the own cancellations and sets `expired` and `stray`.

        Returns:
            Whether to swallow the exception.
        """
        for _ in range(self._cancels):
            task.uncancel()
        if kind is None or error is None:
            return False
        if self._by_others(task, error):
            if isinstance(error, asyncio.CancelledError):
                return False
            if isinstance(error, Exception) and (hidden := hidden_behind(task, error)) is not None:
                raise hidden from error
        self.expired = self._cancels > 0
        self.stray = not self.expired and isinstance(error, asyncio.CancelledError)
        return isinstance(error, asyncio.CancelledError)

    def _by_others(self, task: asyncio.Task[object], error: BaseException) -> bool:
        """Whether another party cancelled the task while the block was open."""
        before = self._cancelling_before
        if task.cancelling() > before:
            take_back_leftovers(task, error, before=before, expired=self._cancels > 0)
        return task.cancelling() > before
