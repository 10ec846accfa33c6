"""Hedged attempts: several attempts of one plan at once; the first answer cancels the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.runtime.attempt import Attempter


class HedgeRace:
    """Runs the attempts of one plan concurrently.

    All decisions are the plan's: at the `hedge_at` of the newest attempt, and whenever an attempt
    fails, the race requests another attempt from the plan, up to the policy's number in flight.

    Args:
        plan: the call's plan.
        attempter: makes the attempts.
        request: the call's request.
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
        self._scopes: list[anyio.CancelScope] = []

    async def run(self, first: AttemptStep) -> float:
        """Runs until an attempt has answered or none is left.

        Returns:
            Loop time of the end, seconds; every attempt is recorded by then.
        """
        loop = self._attempter.loop
        async with anyio.create_task_group() as group:
            newest = first
            self._start(group, first)
            try:
                while self._running:
                    hedge_at = newest.hedge_at if self._running < self._max_in_flight else math.inf
                    with loop.bound(hedge_at):
                        await self._ended.wait()
                    if self._plan.decided or self._interruption is not None:
                        break
                    newest = self._add_attempt(group, newest, loop.time()) or newest
            finally:
                # One by one, for a fixed order: the group's own scope would cancel in any order.
                for scope in self._scopes:
                    scope.cancel()
        if self._interruption is not None:
            raise self._interruption
        if not self._plan.decided:
            # The caller's cancellation may have reached only the attempts; raise it here too.
            await anyio.lowlevel.checkpoint_if_cancelled()
        return loop.time()

    def _add_attempt(self, group: TaskGroup, newest: AttemptStep, now: float) -> AttemptStep | None:
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
        self._start(group, step)
        return step

    def _start(self, group: TaskGroup, step: AttemptStep) -> None:
        self._running += 1
        self._scopes.append(anyio.CancelScope())
        group.start_soon(self._attempt, step, self._scopes[-1])

    async def _attempt(self, step: AttemptStep, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                self._serve_waiting(await self._attempter.run(self._plan, step, self._request))
        except BaseException as error:
            if isinstance(error, anyio.get_cancelled_exc_class()):
                raise
            self._interruption = error  # raised by `run`: a task group would wrap it
        finally:
            self._running -= 1
            self._ended.set()
