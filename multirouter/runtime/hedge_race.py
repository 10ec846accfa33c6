"""Hedged attempts: several attempts of one plan at once; the first answer cancels the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.request_transform import own_copy
from multirouter.runtime.attempt import Attempter
from multirouter.runtime.event_loops.base import ChildTasks

if TYPE_CHECKING:
    from multirouter.runtime.event_loops.deadline import Bound  # which loads asyncio


class HedgeRace:
    """Runs the attempts of one plan concurrently, each in a task of its own.

    All decisions are the plan's: at the `hedge_at` of the newest attempt, and whenever an attempt
    fails, the race requests another attempt from the plan, up to the policy's number in flight.

    Args:
        plan: the call's plan.
        attempter: makes the attempts.
        request: the call's request. The first attempt gets the request itself, each further one a
            copy of it.
        serve_waiting: called with the loop time after each attempt, to serve waiting calls.
    """

    def __init__(
        self, plan: Plan, attempter: Attempter, request: Any, serve_waiting: Callable[[float], None]
    ) -> None:
        self._plan = plan
        self._serve_waiting = serve_waiting
        self._attempter = attempter
        self._request = request
        self._running = 0
        self._max_in_flight = plan.route.hedge.max_in_flight if plan.route.hedge is not None else 1
        self._ended = anyio.Event()
        self._interruption: BaseException | None = None
        self._not_begun: set[AttemptStep] = set()
        self._tasks: ChildTasks = attempter.loop.child_tasks()
        self._wait: Bound

    async def run(self, first: AttemptStep) -> float:
        """Runs until an attempt has answered or none is left.

        Returns:
            Loop time of the end, seconds; every attempt is recorded by then.
        """
        loop = self._attempter.loop
        try:
            async with self._tasks:
                newest = first
                self._start(first, self._request)
                while self._running:
                    hedge_at = newest.hedge_at if self._running < self._max_in_flight else math.inf
                    self._wait = loop.bound(hedge_at)
                    with self._wait:
                        await self._ended.wait()
                    if self._plan.decided or self._interruption is not None:
                        break
                    newest = self._add_attempt(newest, loop.time()) or newest
            if self._interruption is not None:
                raise self._interruption
            # A scope may have been cancelled while the block waited for the tasks to end.
            await anyio.lowlevel.checkpoint_if_cancelled()
            return loop.time()
        finally:
            if not self._running:  # else the call was dropped, and its attempts are still to end
                # Tracebacks of errors hold frames of its methods, and the plan holds errors.
                vars(self).clear()

    def _add_attempt(self, newest: AttemptStep, now: float) -> AttemptStep | None:
        """Starts another attempt when the plan has one: a failover at once, or a hedge.

        Returns:
            The new attempt, or None.
        """
        failed, self._ended = self._ended.is_set(), anyio.Event()
        if not self._running:
            return None
        step = self._plan.replacement(now) if failed else self._plan.hedge(newest, now)
        if step is None:
            newest.hedge_at = newest.hedge_at if failed else math.inf
            return None
        self._start(step, own_copy(self._request))
        return step

    def _start(self, step: AttemptStep, request: Any) -> None:
        self._running += 1
        self._not_begun.add(step)
        name = f"{step.role} {step.member.name}"
        self._tasks.start(name, self._attempt, step, request, on_end=lambda: self._on_end(step))

    async def _attempt(self, step: AttemptStep, request: Any) -> None:
        self._not_begun.discard(step)
        run = self._attempter.run
        try:
            self._serve_waiting(await run(self._plan, step, request, self._cancellation_requested))
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - raised by `run`
            self._interruption = error

    def _cancellation_requested(self) -> bool:
        """Whether an attempt's cancellation is by the end of the race, or of the whole call."""
        return self._tasks.ending or self._wait.cancelled_by_others

    def _on_end(self, step: AttemptStep) -> None:
        if step in self._not_begun:  # by a party that cancels all tasks
            self._not_begun.discard(step)
            self._plan.abandon(step)
        self._running -= 1
        self._ended.set()
