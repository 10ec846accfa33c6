"""Stalls of the event loop: time during which the router's own process did not run.

A blocking call in the loop, a long garbage collection, a CPU quota, a suspended machine or a
debugger stops the loop, and nothing of it is a provider's fault. A timer that fires late reveals
it. While a block with a deadline is open, a timer is due every `BEAT` seconds at least; when no
block is open, there is none.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakMethod

BEAT = 0.5
"""Seconds between two checks while a block is open. The begin of a stall is as uncertain, and a
shorter one may pass unnoticed unless a deadline falls due in it."""

MOMENT = 0.25
"""Longest time, seconds, that answers which arrived during a stall get to be read. A loop that is
busy for longer is late again, which is noticed again."""

TOLERANCE = 0.1
"""Seconds that a timer may be late without a stall. A busy loop is late by some hundredths; less
than this matters to no timeout of seconds."""

SHARE = 0.1
"""Share of an attempt's time from which on stalls count for it. Below, its duration is still the
provider's within the precision of a latency, and a timeout is its own: all of its time came back.
So a loop that stalls now and then neither hides a provider that hangs nor stops the learning."""

REMEMBERED = 64
"""Stalls that are kept, to sum up those during one attempt."""


class Stall(NamedTuple):
    """One stall of an event loop.

    Attributes:
        began: loop time at which the loop was last known to run, seconds.
        due: loop time at which a timer was due that did not fire, seconds.
        ended: loop time at which the loop ran again, seconds.
    """

    began: float
    due: float
    ended: float

    @property
    def seconds(self) -> float:
        """How late the timer was, seconds: the stall was at least as long."""
        return self.ended - self.due

    @property
    def lost(self) -> float:
        """Seconds that open blocks get back: the longest that the stall may have been."""
        return self.ended - self.began

    @property
    def over_at(self) -> float:
        """Loop time until which failures of attempts during the stall may come from it, seconds.

        Blocks whose deadline passed in it end before, and what peers did meanwhile has been read.
        """
        return self.ended + self.lost + BEAT

    def moved(self, deadline: float, latest: float) -> float:
        """A deadline after this stall, loop time in seconds.

        What was left of it when the stall began is left again. Whatever was left, answers that
        have arrived meanwhile get a moment to be read: as long as the loop was late, at most
        `MOMENT`.

        Args:
            deadline: the deadline before the stall.
            latest: a promise to the caller, which a stall does not move.
        """
        moment = min(self.seconds, MOMENT)
        return max(deadline, min(deadline + self.lost, latest), self.ended + moment)


class StallWatch:
    """Notices the stalls of one event loop.

    Code that reads the clock at the begin or the end of an attempt compares it with `overdue_at`:
    until the timer has run, nothing else knows of a stall that has just ended.

    Attributes:
        overdue_at: loop time after which the timer is late, seconds; `math.inf` without a timer.
        ended_at: loop time of the end of the newest stall, seconds; `-math.inf` before the first.
        lost: seconds that all stalls together have given back.
    """

    __slots__ = (
        "_due",
        "_newest",
        "_over_at",
        "_report",
        "_running_at",
        "ended_at",
        "lost",
        "overdue_at",
    )

    def __init__(self) -> None:
        self._running_at = 0.0
        self._due = math.inf
        # The end of each stall, and what had been given back before it; the oldest first.
        self._newest: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self.overdue_at: float = math.inf
        self.ended_at: float = -math.inf
        self._over_at = -math.inf
        self.lost: float = 0.0
        self._report: WeakMethod[Callable[[Stall], None]] | None = None

    @property
    @abstractmethod
    def open(self) -> int:
        """How many blocks are open."""

    @abstractmethod
    def _give_back(self, stall: Stall) -> None:
        """Moves the deadlines of the open blocks, and sets the timer anew."""

    def expect(self, now: float, due: float) -> None:
        """Begins to wait for a timer that is due at `due`; the loop runs at `now` (seconds)."""
        self._running_at = now
        self._due = due
        self.overdue_at = due + TOLERANCE

    def expect_nothing(self) -> None:
        """Ends the wait for a timer: there is none."""
        self._due = self.overdue_at = math.inf

    def report_to(self, method: Callable[[Stall], None]) -> None:
        """Sets the method that is called with each stall, after blocks have got its time back.

        It is held weakly: the timer of a loop must not keep a dropped router alive.
        """
        self._report = WeakMethod(method)

    def lost_since(self, instant: float) -> float:
        """Seconds that stalls which ended after `instant` (loop time, seconds) have given back."""
        before = next((before for ended, before in self._newest if ended > instant), self.lost)
        return self.lost - before

    def distorts(self, started: float, now: float) -> bool:
        """Whether stalls took so much of an answered attempt that its duration is not its own.

        Args:
            started: loop time of its start, seconds.
            now: loop time of its end, seconds. A stall that ends with it is noticed here.
        """
        if now > self.overdue_at:
            self.notice(now, waiting=started < self._due)
        return self._share(started, now)

    def excuses(self, started: float, now: float, waiting_since: float | None = None) -> bool:
        """Whether a failure may come from a stall, and not from the provider.

        A stall that is noticed only here is no excuse: it may be the provider's own function that
        blocks the loop, and a failure that was read before our own timer ran is older than it.

        Args:
            started: loop time of the attempt's start, seconds.
            now: loop time of the failure, seconds.
            waiting_since: loop time since which it was awaited, seconds; in a stream, that of the
                newest wait for a chunk. Left out: since its start.
        """
        since = started if waiting_since is None else waiting_since
        just_ended = started < self.ended_at and now <= self._over_at
        excused = just_ended or self._share(since, now)
        if now > self.overdue_at:
            self.notice(now, waiting=started < self._due)
        return excused

    def notice(self, now: float, *, waiting: bool = False) -> None:
        """Notices a stall that ended at `now`, unless nothing waited for the loop.

        Args:
            now: loop time, seconds; after `overdue_at`.
            waiting: whether something waited beside the open blocks.
        """
        stall = Stall(self._running_at, self._due, now)
        counts = waiting or self.open > 0
        self._give_back(stall)
        if counts:
            self._newest.append((now, self.lost))
            self.lost += stall.lost
            self.ended_at = now
            self._over_at = stall.over_at
            report = None if self._report is None else self._report()
            if report is not None:
                report(stall)

    def _share(self, started: float, now: float) -> bool:
        lost = self.lost_since(started)
        return lost > 0.0 and lost >= SHARE * (now - started)
