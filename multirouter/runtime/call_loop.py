"""The loop that drives every call: takes the plan's next step, executes it, records the result.

It decides nothing: what follows a failed attempt is the plan's decision (`core/planning`).
"""

from __future__ import annotations

from copy import copy
from typing import Any

import anyio

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.failures.exception_details import description_of
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep, ServeStep, Step, WaitStep
from multirouter.core.settings.wait_policy import WaitPolicy
from multirouter.errors import CallFailed, ConfigurationError, UsageError
from multirouter.model import CallOutcome
from multirouter.runtime.attempt import Attempter
from multirouter.runtime.event_loops.base import EventLoop
from multirouter.runtime.event_loops.running_loop import redeliver_cancellation
from multirouter.runtime.recovery.trials import BackgroundAttempts
from multirouter.runtime.wait_queue import WaitQueue

FALLBACK_MIN_SECONDS = 1.0
"""Minimum seconds for an async `fallback=`, also when the call's deadline is nearer or has passed:
a call that ran out of time is the one that needs a fallback."""


class CallLoop:
    """Executes plans. All decisions are the plan's.

    Args:
        wait_queue: the calls that wait for a provider with free capacity.
        background: runs the background copies.
    """

    __slots__ = ("_background", "_wait_queue")

    def __init__(self, wait_queue: WaitQueue, background: BackgroundAttempts) -> None:
        self._wait_queue = wait_queue
        self._background = background

    async def drive(
        self, plan: Plan, request: Any, attempter: Attempter, now: float
    ) -> CallOutcome[Any] | ServeStep:
        """Executes a plan from `now` (loop time, seconds) until it has ended or a stream serves."""
        wait_queue = self._wait_queue
        if wait_queue.waiters:
            wait_queue.serve(now)  # calls that have waited longer go first
        step = plan.next_step(now)
        while True:
            if isinstance(step, AttemptStep):
                for trial in step.trials:
                    self._background.launch(plan, trial, request, attempter)
                try:
                    if plan.route.hedge is None:
                        now = await attempter.run(plan, step, request)
                    else:
                        from multirouter.runtime.hedge_race import HedgeRace

                        now = await HedgeRace(plan, attempter, request, wait_queue.serve).run(step)
                except BaseException as error:
                    wait_queue.serve(attempter.loop.time())  # a cancelled call frees capacity too
                    await redeliver_cancellation(error, attempter.loop)
                    del plan, step  # as below
                    raise
                if wait_queue.waiters:
                    wait_queue.serve(now)
                step = plan.next_step(now)
            elif isinstance(step, WaitStep):
                step = await self._wait(plan, step, attempter.loop)
            else:
                try:
                    return step
                finally:
                    # The traceback of an attempt's error holds this frame, through those it
                    # called. Without a way back to the error there is no cycle.
                    del plan, step

    async def _wait(self, plan: Plan, step: WaitStep, loop: EventLoop) -> Step:
        """The plan's next step after a wait; backoffs are the only sleeps of a call."""
        if step.for_capacity:
            if step.max_waiting is not None and len(self._wait_queue) >= step.max_waiting:
                plan.stop_waiting()
                return plan.next_step(loop.time())
            return await self._wait_queue.wait(plan, step.until, loop)
        # Deciding takes time: the wait may be over. A negative delay is an error of the sleep.
        await anyio.sleep(max(0.0, step.until - loop.time()))
        return plan.next_step(loop.time())


def check_call_options(timeout: float | None, wait: float | WaitPolicy) -> None:
    """Validates `timeout=` and `wait=` of a call.

    Raises:
        UsageError: names the invalid option and why it is invalid.
    """
    try:
        if timeout is not None:
            check.duration("timeout", timeout, allow_inf=True)
        if not isinstance(wait, WaitPolicy):
            check.number("wait", wait, minimum=0.0, allow_inf=True)
    except ConfigurationError as error:
        raise UsageError(str(error)) from None


async def apply_fallback(
    plan: Plan, fallback: Any, request: Any, outcome: CallOutcome[Any], loop: EventLoop
) -> CallOutcome[Any]:
    """The outcome of a failed call with `fallback=`: its answer, unless the request was at fault.

    When the fallback raises, or exceeds its time, the call fails as without one. Its error keeps
    the trail, and has what the fallback raised as `fallback_error`, as context and in a note.
    """
    error = outcome.error
    if not isinstance(error, CallFailed) or any(r.error is error for r in outcome.attempts):
        return outcome  # a provider's own exception: the request was at fault
    # The fallback gets a copy: the traceback of what it raises holds it, which must not hold the
    # traceback in turn.
    value, problem = await _substitute(fallback, request, copy(error), plan.deadline, loop)
    try:
        if problem is None:
            return plan.fall_back(value, loop.time())
        error.fallback_error = error.__context__ = problem
        error.add_note(f"multirouter: fallback= failed too: {description_of(problem)}")
        outcome.elapsed = loop.time() - outcome.started
        return outcome
    finally:
        del plan, outcome, error, problem  # as in `CallLoop.drive`


async def _substitute(
    fallback: Any, request: Any, error: CallFailed, deadline: float, loop: EventLoop
) -> tuple[Any, Exception | None]:
    """The answer of `fallback=` and None; or None and what it raised, or that it took too long."""
    if not callable(fallback):
        return fallback, None
    limit = max(deadline - loop.time(), FALLBACK_MIN_SECONDS)
    bound = loop.bound(loop.time() + limit)
    try:
        value: Any = fallback(request, error)
        if not hooks.is_awaitable(value):
            return value, None
        with bound:
            value = await value
    except Exception as raised:  # noqa: BLE001 - any error of the fallback leaves the call's own
        return None, raised
    except BaseException as raised:
        await redeliver_cancellation(raised, loop)
        raise
    if bound.expired or bound.stray:
        return None, TimeoutError(f"fallback= did not return within {limit:.3g} s")
    return value, None
