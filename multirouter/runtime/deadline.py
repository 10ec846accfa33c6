"""The cheapest correct way to bound an await: one on asyncio, one on trio."""

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

COARSE = 0.0005
"""Seconds to add when a timer rang early, since the loop rounds it to the nearest millisecond.

Source: uvloop, `Loop.call_later`: `round(delay * 1000)`; half a millisecond makes it round up.
"""


class Bound(Protocol):
    """One await under one deadline: a synchronous context manager, entered once.

    Attributes:
        expired: after the exit, True when the deadline ended the block: its cancellation was
            swallowed, or the block turned it into an exception of its own, which propagates. False
            when the block returned after all, and when its caller's cancellation came as well:
            that one wins, whichever was first, and propagates, even from a block that made an
            exception of its own of it.
        stray: after the exit, True when a CancelledError came out of the block that nobody had
            asked for; it was swallowed. Never on trio, where nobody can raise one.
    """

    expired: bool
    stray: bool

    def __enter__(self) -> Self:
        """Begins to bound the running task."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Ends it; True when the exception was swallowed."""
        ...

    def ring(self) -> bool:
        """Ends the block now, from another task, as its deadline would; whether it was open."""
        ...


class AsyncioBound:
    """A block of one asyncio task, with the rules of `asyncio.timeout`.

    Source: CPython 3.13, Lib/asyncio/timeouts.py, `Timeout.__aexit__`: each `cancel()` of ours is
    taken back by `uncancel()`, and what is left above the count at entry was asked by others.
    """

    __slots__ = ("_before", "_owner", "_rings", "deadline", "expired", "stray", "task")

    def __init__(self, owner: AsyncioDeadlines, deadline: float) -> None:
        self._owner = owner
        self._rings = 0
        self.deadline: float = deadline
        self.expired: bool = False
        self.stray: bool = False

    def __enter__(self) -> Self:
        owner = self._owner
        task = asyncio.current_task(owner.loop)
        if task is None:
            raise UsageError("only a task can be bounded by a deadline: await this inside one")
        self.task: asyncio.Task[object] | None = task
        self._before = task.cancelling()
        if self.deadline < owner.alarm:
            owner.arm(self.deadline)
        owner.fresh[self] = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        task = self.task
        try:
            del self._owner.fresh[self]
        except KeyError:
            self._owner.leave(self)
        if task is None or (kind is None and not self._rings):
            return False
        return self._settle(task, kind, error)

    def ring(self) -> bool:
        """Cancels the block, again if need be; False when its task has ended without it."""
        task = self.task
        if task is None:
            return False
        # A second cancellation before the task's next step takes the place of the first one's
        # message, by which a cancel scope of anyio knows its own: so it says the same.
        coming = getattr(task, "_must_cancel", False)
        if not task.cancel(getattr(task, "_cancel_message", None) if coming else None):
            return False
        self._rings += 1
        return True

    def _settle(
        self,
        task: asyncio.Task[object],
        kind: type[BaseException] | None,
        error: BaseException | None,
    ) -> bool:
        """Takes our own cancellations back, and says whose the exception is."""
        for _ in range(self._rings):
            task.uncancel()
        if kind is None:
            return False
        by_others = task.cancelling() > self._before
        if not issubclass(kind, asyncio.CancelledError):
            if by_others and (first := _turned_from(error)) is not None:
                # With its message, by which a cancel scope of anyio knows its own.
                raise asyncio.CancelledError(*first.args) from error
            self.expired = self._rings > 0
            return False
        if by_others:
            return False
        self.expired = self._rings > 0
        self.stray = not self.expired
        return True


def _turned_from(error: BaseException | None) -> asyncio.CancelledError | None:
    """The cancellation that an exception was made of, if it was.

    The count of cancellations alone does not tell: a TaskGroup before Python 3.13 that failed
    while it waited for its tasks leaves it raised.
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

    Nearly every block ends long before its deadline, so to enter and to leave cost an entry in a
    dictionary and no timer. Only when the timer rings are the blocks still open put in order, in a
    heap; who leaves it later stays there as dead until its turn, or until most are dead. The timer
    is moved when an earlier deadline comes, and rests when nothing is open.

    A deadline never fires early; on a loop whose timers count whole milliseconds (uvloop) up to
    1 ms late. One that has passed at entry fires as `asyncio.timeout` does: the block is entered,
    and cancelled where it first waits.

    Args:
        loop: the loop of the tasks to bound.
        grace: seconds after which a block that swallowed its cancellation and still runs is
            cancelled again, and again after each further such span. A block that swallows every
            one of them is not ended by this.

    Attributes:
        loop: as given.
        alarm: when the timer rings next (loop time); `math.inf` while it rests.
        fresh: the blocks entered since the timer last rang, in this order.

    Raises:
        ConfigurationError: when `grace` is not a span of time.
    """

    __slots__ = (
        "_context",
        "_dead",
        "_grace",
        "_heap",
        "_pushed",
        "_timer",
        "alarm",
        "fresh",
        "loop",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, *, grace: float = 1.0) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.alarm: float = math.inf
        self.fresh: dict[AsyncioBound, None] = {}
        self._grace = validation.span("grace", grace)
        self._timer: asyncio.Handle | None = None
        # The timer outlives the call that set it, and must not keep that call's context alive.
        self._context = Context()
        self._heap: list[tuple[float, int, AsyncioBound]] = []
        self._pushed = 0
        self._dead = 0

    def __repr__(self) -> str:
        return f"<AsyncioDeadlines open={self.open} alarm={self.alarm:g}>"

    @property
    def open(self) -> int:
        """How many blocks are being bounded now."""
        return len(self.fresh) + len(self._heap) - self._dead

    @property
    def bound(self) -> Callable[[float], AsyncioBound]:
        """Makes a block that may last until a deadline (loop time, s; `math.inf`: for ever)."""
        return partial(AsyncioBound, self)  # no frame: it is called once an attempt

    def close(self) -> None:
        """Stops the timer, unless blocks are open: these stay bounded until they end."""
        if not self.open:
            self.arm(math.inf)

    def arm(self, alarm: float) -> None:
        """Moves the one timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.alarm = alarm
        if alarm <= self.loop.time():
            self._timer = self.loop.call_soon(self._ring, context=self._context)
        elif alarm < math.inf:
            self._timer = self.loop.call_at(alarm, self._ring, context=self._context)

    def leave(self, bound: AsyncioBound) -> None:
        """Counts a block in the heap as dead, and clears it of the dead when most of it is."""
        if bound.task is None:
            return
        bound.task = None
        self._dead += 1
        if 2 * self._dead > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].task is not None]
            heapify(self._heap)
            self._dead = 0

    def _ring(self) -> None:
        """Cancels the blocks that are due, in the order of their deadlines."""
        now = self.loop.time()
        if now < self.alarm:
            late = self.alarm + COARSE
            self._timer = self.loop.call_at(late, self._ring, context=self._context)
            return
        for bound in self.fresh:
            self._push(bound.deadline, bound)
        self.fresh.clear()
        due = self._take(now)
        for bound in due:
            self._push(now + self._grace, bound)
        # The timer comes first: should one block's future fail to cancel, the others lose nothing.
        self.arm(self._heap[0][0] if self._heap else math.inf)
        for bound in due:
            if not bound.ring():
                self.leave(bound)

    def _push(self, deadline: float, bound: AsyncioBound) -> None:
        self._pushed += 1
        heappush(self._heap, (deadline, self._pushed, bound))

    def _take(self, now: float) -> list[AsyncioBound]:
        """Takes from the heap who is due, and the dead on top of it."""
        due: list[AsyncioBound] = []
        heap = self._heap
        while heap and (heap[0][0] <= now or heap[0][2].task is None):
            bound = heappop(heap)[2]
            if bound.task is None:
                self._dead -= 1
            else:
                due.append(bound)
        return due


class TrioBound:
    """A block of one trio task: a cancel scope that speaks as `Bound` does."""

    __slots__ = ("_scope", "expired", "stray")

    def __init__(self, deadline: float) -> None:
        import trio

        self._scope = trio.move_on_at(deadline)
        self.expired: bool = False
        self.stray: bool = False

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        import trio

        own = kind is not None and not issubclass(kind, trio.Cancelled)
        try:
            return bool(self._scope.__exit__(kind, error, trace))
        finally:
            self.expired = self._scope.cancelled_caught or (own and self._scope.cancel_called)

    def ring(self) -> bool:
        """Cancels the block."""
        self._scope.cancel()
        return True


class TrioDeadlines:
    """All deadlines of one router on trio, which keeps them itself.

    It cancels a block again at each of its awaits, so there is no grace to choose. A deadline that
    has passed at entry cancels at the first checkpoint.
    """

    __slots__ = ()

    def bound(self, deadline: float) -> TrioBound:
        """A block that may last until `deadline` (trio's time, seconds; `math.inf`: for ever)."""
        return TrioBound(deadline)

    def close(self) -> None:
        """Has nothing to stop."""
