"""Blocks with a deadline around single awaits: their interface, and that of asyncio tasks."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Protocol

from multirouter.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from multirouter.runtime.deadline_timer import AsyncioDeadlines


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

    def __init__(
        self, deadlines: AsyncioDeadlines, deadline: float, latest: float = math.inf
    ) -> None:
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
        self._cancelling_before = task.cancelling()
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
        pending = getattr(task, "_must_cancel", False)
        if not task.cancel(getattr(task, "_cancel_message", None) if pending else None):
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
        if kind is None:
            return False
        by_others = task.cancelling() > self._cancelling_before
        if not issubclass(kind, asyncio.CancelledError):
            if by_others and (first := _cancellation_behind(error)) is not None:
                # With its message, by which a cancel scope of anyio recognises its own.
                raise asyncio.CancelledError(*first.args) from error
            self.expired = self._cancels > 0
            return False
        if by_others:
            return False
        self.expired = self._cancels > 0
        self.stray = not self.expired
        return True


def _cancellation_behind(error: BaseException | None) -> asyncio.CancelledError | None:
    """The CancelledError in the chain of an exception, or None.

    The count of cancellations alone does not prove one: before Python 3.13, a TaskGroup that
    failed while it waited for its tasks left the count raised.
    """
    if not isinstance(error, Exception):
        return None
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, asyncio.CancelledError):
            return link
        seen.add(id(link))
        link = link.__context__ or link.__cause__
    return None
