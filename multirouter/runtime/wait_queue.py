"""The one line of calls that wait for room: first come, first served, no polling."""

from __future__ import annotations

import math

import anyio

from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep, Step, WaitStep
from multirouter.errors import UsageError
from multirouter.runtime.event_loops.base import EventLoop


class Waiter:
    """A call that waits, and the step that it is given."""

    __slots__ = ("plan", "ready", "step")

    def __init__(self, plan: Plan) -> None:
        self.plan: Plan = plan
        self.ready: anyio.Event = anyio.Event()
        self.step: Step | None = None


class WaitQueue:
    """Calls that nobody can serve now and that may wait.

    Whatever may have made room (an attempt that ended, a circuit that changed, a limit that
    refilled) is followed by `serve`, which lets each plan in turn take what it can use. What is
    left afterwards none of them could use, so a newcomer that takes it overtakes nobody.

    Attributes:
        line: who waits, longest first; empty nearly always, which is all that a call looks at.
    """

    def __init__(self) -> None:
        self.line: list[Waiter] = []
        self._closed = False

    def __len__(self) -> int:
        """How many calls wait."""
        return len(self.line)

    def serve(self, now: float) -> None:
        """Gives room to whoever has waited longest and can use it."""
        for waiter in self.line[:]:
            if waiter.step is None:
                step = waiter.plan.next_step(now)
                if not isinstance(step, WaitStep):
                    waiter.step = step
                    waiter.ready.set()

    def close(self) -> None:
        """Sends everybody away."""
        self._closed = True
        for waiter in self.line:
            waiter.ready.set()

    async def wait(self, plan: Plan, until: float, loop: EventLoop) -> Step:
        """Stands in line, at most until the loop time `until`.

        Returns:
            The plan's next step: an attempt whose permit is taken, or the end.
        """
        waiter = Waiter(plan)
        self.line.append(waiter)
        try:
            now = loop.time()
            while waiter.step is None and now < until:
                self._check_open()
                with loop.bound(min(until, now + _patience(plan, now))):
                    await waiter.ready.wait()
                now = loop.time()
                if waiter.step is None:
                    self.serve(now)
        except BaseException:
            self._leave(waiter, loop.time())
            raise
        self.line.remove(waiter)
        return waiter.step if waiter.step is not None else plan.next_step(now)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the router was closed while the call waited for room")

    def _leave(self, waiter: Waiter, now: float) -> None:
        """A waiter that goes away hands on what it was just given."""
        self.line.remove(waiter)
        if isinstance(waiter.step, AttemptStep):
            waiter.plan.abandon(waiter.step)
            self.serve(now)


def _patience(plan: Plan, now: float) -> float:
    """Seconds until time alone may have made room; endless when only an event can."""
    seconds = plan.ready_in(now)
    return seconds if seconds is not None and seconds > 0 else math.inf
