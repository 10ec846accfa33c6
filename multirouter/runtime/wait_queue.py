"""The queue of calls that wait for free capacity: first come, first served, without polling."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from contextvars import copy_context
from heapq import heapify, heappop, heapreplace

import anyio

from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep, Step, WaitStep
from multirouter.errors import UsageError
from multirouter.runtime.event_loops.base import EventLoop, Timer


class Waiter:
    """A waiting call, and the step it was assigned.

    Attributes:
        plan: the call's plan.
        number: its place in the order of arrival.
        kind: calls of one kind can start under the same conditions, but for their size.
        group: the kind and the size; calls of one group can start under the same conditions.
        ready: set when `step` is assigned, or the queue is closed.
        step: the assigned step, or None.
    """

    __slots__ = ("_context", "group", "kind", "number", "plan", "ready", "step")

    def __init__(self, plan: Plan, number: int) -> None:
        self.plan: Plan = plan
        self.number: int = number
        self.kind: Hashable = plan.wait_class()
        self.group: tuple[Hashable, int] = (self.kind, plan.size)
        self.ready: anyio.Event = anyio.Event()
        self.step: Step | None = None
        self._context = copy_context()

    def next_step(self, now: float) -> Step:
        """The plan's next step, decided in the call's context: a strategy may read a variable."""
        return self._context.copy().run(self.plan.next_step, now)


class WaitQueue:
    """Calls that no provider can serve now and that may wait.

    `serve` follows every event that may free capacity: an attempt that ended, a circuit that
    changed, a limit that refilled. The waiting plans, the longest wait first, take what they can
    use. None of them can use what is left, so a new call that takes it overtakes none.

    The first call of a group that cannot start stands for those behind it: an event costs one plan
    for each call that it serves, and one for each group.

    Attributes:
        waiters: the waiting calls by group, each group in the order of arrival; usually empty,
            which is what each call checks.
    """

    def __init__(self) -> None:
        self.waiters: dict[tuple[Hashable, int], OrderedDict[Waiter, None]] = {}
        self._closed = False
        self._arrivals = 0
        self._loop: EventLoop | None = None
        self._timer: Timer | None = None
        self._timer_due = math.inf

    def __len__(self) -> int:
        """How many calls wait."""
        return sum(map(len, self.waiters.values()))

    def serve(self, now: float) -> None:
        """Assigns free capacity to waiting calls, the longest wait first."""
        heads = [(first.number, first) for first in map(_first, self.waiters.values())]
        heapify(heads)
        too_large: dict[Hashable, int] = {}
        while heads:
            waiter = heads[0][1]
            if waiter.step is None:  # else a strategy of the user has changed something meanwhile
                kind, size = waiter.group
                if size >= too_large.get(kind, math.inf):
                    heappop(heads)
                    continue
                step = waiter.next_step(now)
                if isinstance(step, WaitStep):
                    too_large[kind] = size
                    heappop(heads)
                    continue
                self._assign(waiter, step)
            behind = self.waiters.get(waiter.group)
            if behind is None:
                heappop(heads)
            else:
                heapreplace(heads, (_first(behind).number, _first(behind)))
        self._set_timer(min(map(self._recheck_at, self.waiters.values()), default=math.inf))

    def close(self) -> None:
        """Makes all waiting calls fail with UsageError."""
        self._closed = True
        for group in self.waiters.values():
            for waiter in group:
                waiter.ready.set()

    def give_back(self, seconds: float) -> None:
        """Lets all calls wait longer, by the time that a stall of the event loop took from them."""
        for group in self.waiters.values():
            for waiter in group:
                waiter.plan.give_back(seconds)

    def rebind(self) -> None:
        """Forgets calls that waited in an event loop that has ended."""
        self.waiters.clear()
        self._timer, self._timer_due = None, math.inf

    async def wait(self, plan: Plan, until: float, loop: EventLoop) -> Step:
        """Waits for free capacity, at most until the loop time `until`.

        Returns:
            The plan's next step: an attempt whose permit is taken, or the outcome.

        Raises:
            UsageError: when the router is closed meanwhile.
        """
        waiter = self._join(plan, loop)
        try:
            while waiter.step is None:
                self._check_open()
                with loop.bound(until, plan.deadline):
                    await waiter.ready.wait()
                if waiter.step is None:
                    step = plan.next_step(loop.time())
                    if isinstance(step, WaitStep) and step.for_capacity:
                        until = step.until
                    else:
                        self._assign(waiter, step)
        except BaseException:
            self._withdraw(waiter, loop.time())
            raise
        return waiter.step

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the router was closed while the call was waiting")

    def _join(self, plan: Plan, loop: EventLoop) -> Waiter:
        self._arrivals += 1
        waiter = Waiter(plan, self._arrivals)
        group = self.waiters.setdefault(waiter.group, OrderedDict())
        group[waiter] = None
        self._loop = loop
        if len(group) == 1:
            self._set_timer(min(self._timer_due, self._recheck_at(group)))
        return waiter

    def _assign(self, waiter: Waiter, step: Step) -> None:
        waiter.step = step
        waiter.ready.set()
        self._remove(waiter)

    def _remove(self, waiter: Waiter) -> None:
        group = self.waiters.get(waiter.group)
        if group is not None and waiter in group:
            del group[waiter]
            if not group:
                del self.waiters[waiter.group]

    def _withdraw(self, waiter: Waiter, now: float) -> None:
        """Removes a cancelled waiter and passes on the step it was assigned."""
        self._remove(waiter)
        if isinstance(waiter.step, AttemptStep):
            waiter.plan.abandon(waiter.step)
            self.serve(now)

    # -- time --------------------------------------------------------------------------------------

    def _recheck_at(self, group: OrderedDict[Waiter, None]) -> float:
        """Loop time at which time alone may let a group's first call start; infinite for never."""
        if self._loop is None:
            return math.inf
        now = self._loop.time()
        seconds = _first(group).plan.recheck_in(now)
        return math.inf if seconds is None or seconds <= 0.0 else now + seconds

    def _set_timer(self, due: float) -> None:
        if due == self._timer_due or self._loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_due = None, due
        if due < math.inf:
            self._timer = self._loop.call_at("waiting calls", due, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer, self._timer_due = None, math.inf
        if self._loop is not None:
            self.serve(self._loop.time())


def _first(group: OrderedDict[Waiter, None]) -> Waiter:
    return next(iter(group))
