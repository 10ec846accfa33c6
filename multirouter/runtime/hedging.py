"""The same plan with several attempts racing: the first answer wins, the others are cancelled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.runtime.attempt import Asks


class HedgeRace:
    """One race: the plan says who runs, the race starts them and waits.

    It adds no choice of its own: at the instant a Try names, and whenever a runner fails, it
    asks the plan for another one, up to the policy's number in flight.

    Args:
        plan: the call's plan.
        asker: makes the attempts.
        request: what is asked.
        settled: called with the loop time after each attempt, so that waiting calls are served.
    """

    def __init__(
        self, plan: Plan, asker: Asks, request: Any, settled: Callable[[float], None]
    ) -> None:
        self._plan = plan
        self._settled = settled
        self._asker = asker
        self._request = request
        self._running = 0
        self._at_most = plan.route.hedge.at_most if plan.route.hedge is not None else 1
        self._ended = anyio.Event()
        self._interrupt: BaseException | None = None
        self._scopes: list[anyio.CancelScope] = []

    async def run(self, first: AttemptStep) -> float:
        """Runs until somebody has answered or nobody is left.

        Returns:
            Loop time of the end, seconds; every attempt is recorded by then.
        """
        loop = self._asker.loop
        async with anyio.create_task_group() as group:
            newest = first
            self._start(group, first)
            try:
                while self._running:
                    hedge_at = newest.hedge_at if self._running < self._at_most else math.inf
                    with loop.bound(hedge_at):
                        await self._ended.wait()
                    if self._plan.decided or self._interrupt is not None:
                        break
                    newest = self._join(group, newest, loop.time()) or newest
            finally:
                # One by one: a group's own scope would leave the order to chance.
                for scope in self._scopes:
                    scope.cancel()
        if self._interrupt is not None:
            raise self._interrupt
        if not self._plan.decided:
            # The runners may have been cancelled with their caller, which is not told twice.
            await anyio.lowlevel.checkpoint_if_cancelled()
        return loop.time()

    def _join(self, group: TaskGroup, newest: AttemptStep, now: float) -> AttemptStep | None:
        """Starts another attempt when the plan has one: a failover at once, or a hedge."""
        failed, self._ended = self._ended.is_set(), anyio.Event()
        if not self._running:
            return None
        step = self._plan.beside(now) if failed else self._plan.hedge(newest, now)
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
                self._settled(await self._asker.ask(self._plan, step, self._request))
        except BaseException as error:
            if isinstance(error, anyio.get_cancelled_exc_class()):
                raise
            self._interrupt = error  # a task group would wrap it, and asyncio end its loop by it
        finally:
            self._running -= 1
            self._ended.set()
