"""Deadlines of single awaits, cheap enough for every attempt: interface, and asyncio's version."""

from __future__ import annotations

import asyncio
import math
from contextvars import Context
from functools import partial
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Protocol

from multirouter.core import validation
from multirouter.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

TIMER_ROUNDING = 0.0005
"""Seconds to add when a timer fired early because the loop rounds to the nearest millisecond.

Source: uvloop, `Loop.call_later`: `round(delay * 1000)`; half a millisecond makes it round up.
"""


class Bound(Protocol):
    """A block with a deadline: a synchronous context manager, entered once.

    Attributes:
        expired: set at the exit. True when the deadline ended the block: its cancellation was
            swallowed, or the block turned it into another exception, which propagates. False when
            the block returned in spite of the cancellation, and when the caller cancelled too: the
            caller's cancellation wins, whichever came first, and propagates, even from a block
            that turned it into another exception.
        stray: set at the exit. True when a CancelledError came out of the block although no task
            was cancelled; it was swallowed. Always False on trio, where it cannot be raised.
    """

    expired: bool
    stray: bool

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
        "stray",
        "task",
    )

    def __init__(self, deadlines: AsyncioDeadlines, deadline: float) -> None:
        self._deadlines = deadlines
        self._cancels = 0
        self.deadline: float = deadline
        self.expired: bool = False
        self.stray: bool = False

    def __enter__(self) -> Self:
        deadlines = self._deadlines
        task = asyncio.current_task(deadlines.loop)
        if task is None:
            raise UsageError("a deadline needs a running task: await this inside a task")
        self.task: asyncio.Task[object] | None = task
        self._cancelling_before = task.cancelling()
        if self.deadline < deadlines.timer_due:
            deadlines.arm(self.deadline)
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


class AsyncioDeadlines:
    """All deadlines of one router on one asyncio loop, behind one timer.

    Nearly every block ends long before its deadline, so entering and leaving cost one dictionary
    entry and no timer. Only when the timer fires are the blocks that are still open sorted, into a
    heap. A block that ends later stays in the heap as a stale entry until its deadline, or until
    most entries are stale. The timer is moved when an earlier deadline is entered, and stopped when
    no block is open.

    A deadline never fires early; on a loop with timers of whole milliseconds (uvloop) it fires up
    to 1 ms late. A deadline that has passed at entry fires as with `asyncio.timeout`: the block is
    entered, and cancelled at its first wait.

    Args:
        loop: the loop of the tasks to bound.
        grace: seconds after which a block that swallowed its cancellation and still runs is
            cancelled again, and again after each further such span. A block that swallows every
            one of them is not ended by this.

    Attributes:
        loop: the loop of the tasks.
        timer_due: loop time at which the timer fires next; `math.inf` while it is stopped.
        entered: the blocks entered since the timer last fired, in this order.

    Raises:
        ConfigurationError: when `grace` is not a finite number of seconds above 0.
    """

    __slots__ = (
        "_context",
        "_grace",
        "_heap",
        "_sequence",
        "_stale",
        "_timer",
        "entered",
        "loop",
        "timer_due",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, *, grace: float = 1.0) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.timer_due: float = math.inf
        self.entered: dict[AsyncioBound, None] = {}
        self._grace = validation.duration("grace", grace)
        self._timer: asyncio.Handle | None = None
        # The timer outlives the call that set it, and must not keep that call's context alive.
        self._context = Context()
        self._heap: list[tuple[float, int, AsyncioBound]] = []
        self._sequence = 0
        self._stale = 0

    def __repr__(self) -> str:
        return f"<AsyncioDeadlines open={self.open} timer_due={self.timer_due:g}>"

    @property
    def open(self) -> int:
        """How many blocks are open."""
        return len(self.entered) + len(self._heap) - self._stale

    @property
    def bound(self) -> Callable[[float], AsyncioBound]:
        """Makes a block with a deadline (loop time, seconds; `math.inf`: without limit)."""
        return partial(AsyncioBound, self)  # without a Python frame: called once per attempt

    def close(self) -> None:
        """Stops the timer, unless blocks are open: their deadlines stay in force."""
        if not self.open:
            self.arm(math.inf)

    def arm(self, timer_due: float) -> None:
        """Sets the timer to a loop time in seconds, `math.inf` to stop it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.timer_due = timer_due
        if timer_due <= self.loop.time():
            self._timer = self.loop.call_soon(self._timer_fired, context=self._context)
        elif timer_due < math.inf:
            self._timer = self.loop.call_at(timer_due, self._timer_fired, context=self._context)

    def discard(self, bound: AsyncioBound) -> None:
        """Marks a block in the heap as stale; removes stale entries when they are the majority."""
        if bound.task is None:
            return
        bound.task = None
        self._stale += 1
        if 2 * self._stale > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].task is not None]
            heapify(self._heap)
            self._stale = 0

    def _timer_fired(self) -> None:
        """Cancels the blocks that are due, in the order of their deadlines."""
        now = self.loop.time()
        if now < self.timer_due:
            late = self.timer_due + TIMER_ROUNDING
            self._timer = self.loop.call_at(late, self._timer_fired, context=self._context)
            return
        for bound in self.entered:
            self._push(bound.deadline, bound)
        self.entered.clear()
        due = self._pop_due(now)
        for bound in due:
            self._push(now + self._grace, bound)
        # The timer first: a future that raises from `cancel` must not stop the other deadlines.
        self.arm(self._heap[0][0] if self._heap else math.inf)
        for bound in due:
            if not bound.expire():
                self.discard(bound)

    def _push(self, deadline: float, bound: AsyncioBound) -> None:
        self._sequence += 1
        heappush(self._heap, (deadline, self._sequence, bound))

    def _pop_due(self, now: float) -> list[AsyncioBound]:
        """Removes the due blocks, and stale entries above them, from the heap."""
        due: list[AsyncioBound] = []
        heap = self._heap
        while heap and (heap[0][0] <= now or heap[0][2].task is None):
            bound = heappop(heap)[2]
            if bound.task is None:
                self._stale -= 1
            else:
                due.append(bound)
        return due
