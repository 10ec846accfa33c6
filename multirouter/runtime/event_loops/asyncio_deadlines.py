"""The one timer behind all deadlines of a router on asyncio or uvloop."""

from __future__ import annotations

import asyncio
import math
from contextvars import Context
from heapq import heapify, heappop, heappush

from typing_extensions import override

from multirouter.core import validation
from multirouter.runtime.event_loops.deadline import AsyncioBound
from multirouter.runtime.event_loops.stalls import BEAT, Stall, StallWatch

TIMER_ROUNDING = 0.0005
"""Seconds to add when a timer fired early because the loop rounds to the nearest millisecond.

Source: uvloop, `Loop.call_later`: `round(delay * 1000)`; half a millisecond makes it round up.
"""

_new = object.__new__


class AsyncioDeadlines(StallWatch):
    """All deadlines of one router on one asyncio loop, behind one timer.

    Nearly every block ends long before its deadline, so entering and leaving cost one dictionary
    entry and no timer. Only when the earliest deadline has passed are the blocks that are still
    open sorted, into a heap. A block that ends later stays in the heap as a stale entry until its
    deadline, or until most entries are stale. The timer is moved when an earlier deadline is
    entered, and stopped when no block is open.

    A deadline never fires early; on a loop with timers of whole milliseconds (uvloop) it fires up
    to 1 ms late. A deadline that has passed at entry fires as with `asyncio.timeout`: the block is
    entered, and cancelled at its first wait. When the loop stalled, no block ends because of the
    time that the stall took: see `stalls.Stall.moved`.

    Args:
        loop: the loop of the tasks to bound.
        grace: seconds after which a block that swallowed its cancellation and still runs is
            cancelled again, and again after each further such span. A block that swallows every
            one of them is not ended by this.

    Attributes:
        loop: the loop of the tasks.
        earliest: loop time of the earliest deadline, or of that of a block that has ended;
            `math.inf` without a deadline.
        entered: the blocks entered since a deadline last passed, in this order.

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
        "earliest",
        "entered",
        "loop",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, *, grace: float = 1.0) -> None:
        super().__init__()
        self.loop: asyncio.AbstractEventLoop = loop
        self.earliest: float = math.inf
        self.entered: dict[AsyncioBound, None] = {}
        self._grace = validation.duration("grace", grace)
        self._timer: asyncio.Handle | None = None
        # The timer outlives the call that set it, and must not keep that call's context alive.
        self._context = Context()
        self._heap: list[tuple[float, int, AsyncioBound]] = []
        self._sequence = 0
        self._stale = 0

    def __repr__(self) -> str:
        return f"<AsyncioDeadlines open={self.open} earliest={self.earliest:g}>"

    @property
    @override
    def open(self) -> int:
        return len(self.entered) + len(self._heap) - self._stale

    def bound(self, deadline: float, latest: float = math.inf, /) -> AsyncioBound:
        """Makes a block, see `MakeBound`."""
        # As `AsyncioBound(...)`, whose `__init__` is called from C at a higher cost.
        block = _new(AsyncioBound)
        block.__init__(self, deadline, latest)  # type: ignore[misc] # of the class itself
        return block

    def close(self) -> None:
        """Stops the timer, unless blocks are open: their deadlines stay in force."""
        if not self.open:
            self._stop()

    def set_earliest(self, deadline: float) -> None:
        """Sets the timer for a deadline that is earlier than all others (loop time, seconds)."""
        now = self.loop.time()
        if now > self.overdue_at:
            self.notice(now)
        self.earliest = min(self.earliest, deadline)
        if self._due > min(deadline, now + BEAT):
            self._start(now)

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

    def _start(self, now: float) -> None:
        """Sets the timer to the earliest deadline, or to the next beat when that is sooner."""
        if self._timer is not None:
            self._timer.cancel()
        due = max(now, min(self.earliest, now + BEAT))
        self.expect(now, due)
        if due > now:
            self._timer = self.loop.call_at(due, self._timer_fired, context=self._context)
        else:
            self._timer = self.loop.call_soon(self._timer_fired, context=self._context)

    def _stop(self) -> None:
        """Stops the timer: no block with a deadline is open."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.earliest = math.inf
        self.expect_nothing()

    def _go_on(self, now: float) -> None:
        """Sets the timer again, or stops it when no block with a deadline is open."""
        if self.earliest < math.inf and self.open:
            self._start(now)
        else:
            self._stop()

    def _timer_fired(self) -> None:
        """Cancels the blocks that are due, in the order of their deadlines."""
        self._timer = None
        now = self.loop.time()
        if now < self._due:
            late = self._due + TIMER_ROUNDING
            self._timer = self.loop.call_at(late, self._timer_fired, context=self._context)
        elif now > self.overdue_at:
            self.notice(now)
        elif now < self.earliest:
            self._go_on(now)
        else:
            self._end_due(now)

    def _end_due(self, now: float) -> None:
        for bound in self.entered:
            self._push(bound.deadline, bound)
        self.entered.clear()
        due = self._pop_due(now)
        for bound in due:
            self._push(now + self._grace, bound)
        self.earliest = self._heap[0][0] if self._heap else math.inf
        # The timer first: a future that raises from `cancel` must not stop the other deadlines.
        self._go_on(now)
        for bound in due:
            if not bound.expire():
                self.discard(bound)

    @override
    def _give_back(self, stall: Stall) -> None:
        moved: list[tuple[float, int, AsyncioBound]] = []
        for at, sequence, bound in self._heap:
            if bound.task is None:
                continue
            if bound.cancelled:
                moved.append((at + stall.lost, sequence, bound))
            else:
                bound.deadline = stall.moved(bound.deadline, bound.latest)
                moved.append((bound.deadline, sequence, bound))
        heapify(moved)
        self._heap, self._stale = moved, 0
        for bound in self.entered:
            bound.deadline = stall.moved(bound.deadline, bound.latest)
        deadlines = [bound.deadline for bound in self.entered]
        self.earliest = min(moved[0][0] if moved else math.inf, *deadlines, math.inf)
        self._go_on(stall.ended)

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
