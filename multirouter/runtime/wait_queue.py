"""The queue of calls that wait for free capacity: first come, first served, without polling."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterator
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
        ready: set when `step` is assigned, or the queue is closed.
        step: the assigned step, or None.
    """

    __slots__ = ("_context", "kind", "number", "plan", "ready", "step")

    def __init__(self, plan: Plan, number: int) -> None:
        self.plan: Plan = plan
        self.number: int = number
        self.kind: Hashable = plan.wait_class()
        self.ready: anyio.Event = anyio.Event()
        self.step: Step | None = None
        self._context = copy_context()

    def next_step(self, now: float) -> Step:
        """The plan's next step, decided in the call's context: a strategy may read a variable."""
        return self._context.copy().run(self.plan.next_step, now)


Group = OrderedDict[Waiter, None]
"""Calls of one kind and size, which can start under the same conditions, in order of arrival."""


class WaitQueue:
    """Calls that no provider can serve now and that may wait.

    `serve` follows every event that may free capacity: an attempt that ended, a circuit that
    changed, a limit that refilled. The waiting plans, the longest wait first, take what they can
    use. None of them can use what is left, so a new call that takes it overtakes none.

    The first call of a group that cannot start stands for those behind it: an event costs one plan
    for each call that it serves, and one for each group.

    Attributes:
        waiters: the groups of waiting calls by kind and size; usually empty, which is what each
            call checks.
    """

    def __init__(self) -> None:
        self.waiters: dict[Hashable, dict[int, Group]] = {}
        self._closed = False
        self._arrivals = 0
        self._loop: EventLoop | None = None
        self._timer: Timer | None = None
        self._timer_due = math.inf

    def __len__(self) -> int:
        """How many calls wait."""
        return sum(1 for _ in self._all())

    def serve(self, now: float) -> None:
        """Assigns free capacity to waiting calls, the longest wait first."""
        kinds = tuple(self.waiters.values())
        heads = [
            (_first(group).number, kind, size)
            for kind, groups in enumerate(kinds)
            for size, group in groups.items()
        ]
        heapify(heads)
        too_large = [math.inf] * len(kinds)
        while heads:
            _, kind, size = heads[0]
            group = kinds[kind].get(size)
            if group is None or size >= too_large[kind]:
                heappop(heads)
                continue
            waiter = _first(group)
            step = waiter.next_step(now)
            if isinstance(step, WaitStep):
                too_large[kind] = size
                heappop(heads)
                continue
            self._assign(waiter, step)
            if group:
                heapreplace(heads, (_first(group).number, kind, size))
            else:
                heappop(heads)
        # Before the smallest call of a kind can start, no other of its kind can.
        smallest = [groups[min(groups)] for groups in self.waiters.values()]
        self._set_timer(min(map(self._recheck_at, smallest), default=math.inf))

    def close(self) -> None:
        """Makes all waiting calls fail with UsageError."""
        self._closed = True
        for waiter in self._all():
            waiter.ready.set()

    def give_back(self, seconds: float) -> None:
        """Lets all calls wait longer, by the time that a stall of the event loop took from them."""
        for waiter in self._all():
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
        group = self.waiters.setdefault(waiter.kind, {}).setdefault(plan.size, OrderedDict())
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
        groups = self.waiters.get(waiter.kind, {})
        size = waiter.plan.size
        group = groups.get(size)
        if group is not None and waiter in group:
            del group[waiter]
            if not group:
                del groups[size]
            if not groups:
                del self.waiters[waiter.kind]

    def _all(self) -> Iterator[Waiter]:
        return (
            waiter
            for groups in self.waiters.values()
            for group in groups.values()
            for waiter in group
        )

    def _withdraw(self, waiter: Waiter, now: float) -> None:
        """Removes a cancelled waiter and passes on the step it was assigned."""
        self._remove(waiter)
        if isinstance(waiter.step, AttemptStep):
            for attempt in (waiter.step, *waiter.step.trials):  # none of them was started
                waiter.plan.abandon(attempt)
            self.serve(now)

    # -- time --------------------------------------------------------------------------------------

    def _recheck_at(self, group: Group) -> float:
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


def _first(group: Group) -> Waiter:
    return next(iter(group))
