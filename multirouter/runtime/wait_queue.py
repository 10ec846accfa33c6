"""The queue of calls that wait for free capacity: first come, first served, without polling."""

from __future__ import annotations

import math

import anyio

from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep, Step, WaitStep
from multirouter.errors import UsageError
from multirouter.runtime.event_loops.base import EventLoop


class Waiter:
    """A waiting call, and the step it was assigned."""

    __slots__ = ("plan", "ready", "step")

    def __init__(self, plan: Plan) -> None:
        self.plan: Plan = plan
        self.ready: anyio.Event = anyio.Event()
        self.step: Step | None = None


class WaitQueue:
    """Calls that no provider can serve now and that may wait.

    `serve` follows every event that may free capacity: an attempt that ended, a circuit that
    changed, a limit that refilled. It lets each waiting plan, the longest wait first, take what it
    can use. None of them can use what is left, so a new call that takes it overtakes none.

    Attributes:
        waiters: the waiting calls, the longest wait first; usually empty, which is what each call
            checks.
    """

    def __init__(self) -> None:
        self.waiters: list[Waiter] = []
        self._closed = False

    def __len__(self) -> int:
        """How many calls wait."""
        return len(self.waiters)

    def serve(self, now: float) -> None:
        """Assigns free capacity to waiting calls, the longest wait first."""
        for waiter in self.waiters[:]:
            if waiter.step is None:
                step = waiter.plan.next_step(now)
                if not isinstance(step, WaitStep):
                    waiter.step = step
                    waiter.ready.set()

    def close(self) -> None:
        """Makes all waiting calls fail with UsageError."""
        self._closed = True
        for waiter in self.waiters:
            waiter.ready.set()

    async def wait(self, plan: Plan, until: float, loop: EventLoop) -> Step:
        """Waits for free capacity, at most until the loop time `until`.

        Returns:
            The plan's next step: an attempt whose permit is taken, or the outcome.

        Raises:
            UsageError: when the router is closed meanwhile.
        """
        waiter = Waiter(plan)
        self.waiters.append(waiter)
        try:
            now = loop.time()
            while waiter.step is None and now < until:
                self._check_open()
                with loop.bound(min(until, now + _recheck_delay(plan, now))):
                    await waiter.ready.wait()
                now = loop.time()
                if waiter.step is None:
                    self.serve(now)
        except BaseException:
            self._withdraw(waiter, loop.time())
            raise
        self.waiters.remove(waiter)
        return waiter.step if waiter.step is not None else plan.next_step(now)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the router was closed while the call was waiting")

    def _withdraw(self, waiter: Waiter, now: float) -> None:
        """Removes a cancelled waiter and passes on the step it was assigned."""
        self.waiters.remove(waiter)
        if isinstance(waiter.step, AttemptStep):
            waiter.plan.abandon(waiter.step)
            self.serve(now)


def _recheck_delay(plan: Plan, now: float) -> float:
    """Seconds until time alone may free capacity; `math.inf` when only an event can."""
    seconds = plan.ready_in(now)
    return seconds if seconds is not None and seconds > 0 else math.inf
