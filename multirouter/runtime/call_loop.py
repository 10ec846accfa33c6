"""The one loop that every call goes through: ask the plan, do what it says, tell it what came."""

from __future__ import annotations

import inspect
from typing import Any

import anyio

from multirouter.core import validation as check
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep, ServeStep, WaitStep
from multirouter.errors import CallFailed, ConfigurationError, UsageError
from multirouter.model import CallOutcome
from multirouter.runtime.attempt import Asks
from multirouter.runtime.event_loops.running_loop import know_its_own
from multirouter.runtime.trials import BackgroundAttempts
from multirouter.runtime.wait_queue import WaitQueue

FALLBACK_LEAST = 1.0
"""Seconds that an async `fallback=` gets although the call's deadline is nearer, or has passed:
then it is needed most."""


class CallLoop:
    """Drives plans; it has no choices of its own.

    Args:
        waiting: the line of the calls that wait for room.
        background: where copies are made.
    """

    __slots__ = ("_background", "_waiting")

    def __init__(self, waiting: WaitQueue, background: BackgroundAttempts) -> None:
        self._waiting = waiting
        self._background = background

    async def drive(
        self, plan: Plan, request: Any, asker: Asks, now: float
    ) -> CallOutcome[Any] | ServeStep:
        """Walks a plan from `now` (loop time, seconds) until it has ended or a stream serves."""
        waiting = self._waiting
        if waiting.line:
            waiting.serve(now)  # who came first goes first
        step = plan.next_step(now)
        while True:
            if isinstance(step, AttemptStep):
                for copy in step.copies:
                    self._background.launch(plan, copy, request, asker.copying())
                try:
                    if plan.route.hedge is None:
                        now = await asker.ask(plan, step, request)
                    else:
                        from multirouter.runtime.hedging import HedgeRace

                        now = await HedgeRace(plan, asker, request, waiting.serve).run(step)
                except BaseException as error:
                    waiting.serve(asker.loop.time())  # a caller who leaves makes room as well
                    await know_its_own(error, asker.loop)
                    raise
                if waiting.line:
                    waiting.serve(now)
                step = plan.next_step(now)
            elif isinstance(step, WaitStep):
                if step.for_room:
                    step = await waiting.wait(plan, step.until, asker.loop)
                else:
                    await anyio.sleep(step.until - now)  # the only sleep of a call
                    now = asker.loop.time()
                    step = plan.next_step(now)
            else:
                return step


def check_call(timeout: float | None, wait: float) -> None:
    """Refuses what `timeout=` and `wait=` of a call must not be.

    Raises:
        UsageError: naming what and why.
    """
    try:
        if timeout is not None:
            check.span("timeout", timeout, endless=True)
        check.number("wait", wait, least=0.0, endless=True)
    except ConfigurationError as error:
        raise UsageError(str(error)) from None


async def fall_back(
    plan: Plan, fallback: Any, request: Any, outcome: CallOutcome[Any], asker: Asks
) -> CallOutcome[Any]:
    """The substitute answer, for a call that nobody could answer; not for a faulty request.

    One that takes too long to come is given up, and the call fails as it would without.
    """
    if not isinstance(outcome.error, CallFailed):
        return outcome
    loop = asker.loop
    value = fallback(request, outcome.error) if callable(fallback) else fallback
    if inspect.isawaitable(value):
        begun = loop.time()
        bound = loop.bound(max(plan.deadline, begun + FALLBACK_LEAST))
        try:
            with bound:
                value = await value
        except BaseException as error:
            await know_its_own(error, loop)
            raise
        if bound.expired or bound.stray:
            outcome.error.add_note("multirouter: the fallback= gave no answer in time either")
            outcome.elapsed += loop.time() - begun
            return outcome
    return plan.fallen_back(value, loop.time())
