"""Deadlines of single awaits on trio: cancel scopes with the interface of `deadline.Bound`."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio
from typing_extensions import override

from multirouter.runtime.event_loops.base import BackgroundTask
from multirouter.runtime.event_loops.stalls import BEAT, Stall, StallWatch

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

Spawn = Callable[[str, Callable[[], Awaitable[None]]], BackgroundTask]
"""Starts a background task, given its name and its function."""


class TrioBound:
    """A block of one trio task: a cancel scope with the interface of `Bound`."""

    __slots__ = ("_deadlines", "expired", "latest", "scope", "stray")

    def __init__(self, deadlines: TrioDeadlines, deadline: float, latest: float) -> None:
        self._deadlines = deadlines
        self.scope: trio.CancelScope = trio.move_on_at(deadline)
        self.latest: float = latest
        self.expired: bool = False
        self.stray: bool = False

    @property
    def deadline(self) -> float:
        """Trio's time at which the deadline ends the block, seconds."""
        return self.scope.deadline

    @property
    def cancelled_by_others(self) -> bool:
        """See `Bound`."""
        return False

    def __enter__(self) -> Self:
        self.scope.__enter__()
        self._deadlines.enter(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._deadlines.leave(self)
        own = kind is not None and not issubclass(kind, trio.Cancelled)
        try:
            return bool(self.scope.__exit__(kind, error, trace))
        finally:
            self.expired = self.scope.cancelled_caught or (own and self.scope.cancel_called)

    def expire(self) -> bool:
        """Cancels the block."""
        self.scope.cancel()
        return True


class TrioDeadlines(StallWatch):
    """All deadlines of one router on trio; each is a cancel scope of trio.

    Trio cancels a block again at each of its awaits, so there is no `grace`. A deadline that has
    passed at entry cancels at the first checkpoint.

    Trio keeps the deadlines itself, and ends all that have passed before it runs a task. So stalls
    are noticed by an instrument of trio, which runs before that; a background task sleeps from beat
    to beat while a block with a deadline is open.

    Attributes:
        spawn: starts a background task; while it is None, stalls are not noticed.
    """

    __slots__ = ("_beat", "_blocks", "_instrument", "spawn")

    def __init__(self) -> None:
        super().__init__()
        self.spawn: Spawn | None = None
        self._blocks: dict[TrioBound, None] = {}
        self._beat: BackgroundTask | None = None
        self._instrument = _AfterWait(self)

    @property
    @override
    def open(self) -> int:
        return len(self._blocks)

    def bound(self, deadline: float, latest: float = math.inf, /) -> TrioBound:
        """Makes a block, see `MakeBound`."""
        return TrioBound(self, deadline, latest)

    def close(self) -> None:
        """Does nothing: the background task ends with the loop object that spawned it."""

    def enter(self, block: TrioBound) -> None:
        """Watches over an open block; begins to notice stalls."""
        self._blocks[block] = None
        if self._beat is None and self.spawn is not None and block.deadline < math.inf:
            self._beat = self.spawn("stall watch", self._watch)
            if not self._beat.done:  # as it is at once after the loop object was closed
                now = trio.current_time()
                self.expect(now, now + BEAT)
                trio.lowlevel.add_instrument(self._instrument)

    def leave(self, block: TrioBound) -> None:
        """Forgets a block that ended."""
        self._blocks.pop(block, None)

    async def _watch(self) -> None:
        """Sleeps from beat to beat until no block with a deadline is open."""
        try:
            while any(block.deadline < math.inf for block in self._blocks):
                now = trio.current_time()
                if now > self.overdue_at:  # another task of this iteration has blocked
                    self.notice(now)
                self.expect(now, now + BEAT)
                await trio.sleep_until(now + BEAT)
        finally:
            self._beat = None
            self.expect_nothing()
            trio.lowlevel.remove_instrument(self._instrument)

    @override
    def _give_back(self, stall: Stall) -> None:
        for block in self._blocks:
            # Not `cancel_called`: to read it cancels a scope whose deadline has passed.
            block.scope.deadline = stall.moved(block.deadline, block.latest)
        self.expect(stall.ended, stall.ended + BEAT)


class _AfterWait(trio.abc.Instrument):
    """Notices stalls each time trio has waited, before it ends what is due."""

    def __init__(self, deadlines: TrioDeadlines) -> None:
        self._deadlines = deadlines

    def after_io_wait(self, timeout: float) -> None:
        """Called by trio after each wait for I/O."""
        now = trio.current_time()
        if now > self._deadlines.overdue_at:
            self._deadlines.notice(now)
