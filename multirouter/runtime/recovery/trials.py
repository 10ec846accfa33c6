"""Trials of half-open circuits in the background: copies of calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

from multirouter.core.failures.classify import Classifier
from multirouter.core.failures.unreadable_exceptions import readable
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.request_transform import own_copy
from multirouter.core.selection.candidate import Candidate
from multirouter.errors import AttemptTimeout
from multirouter.model import SUCCESS, Verdict
from multirouter.runtime.attempt import Attempter
from multirouter.runtime.event_loops.base import EventLoop
from multirouter.runtime.stray_cancellation import STRAY_CANCELLATION

MAX_BACKGROUND = 100
"""Background attempts at one time. A half-open circuit has few trials, so reaching this limit means
that attempts hang."""


class BackgroundAttempts:
    """Runs attempts in background tasks, which are cancelled when the router closes.

    Args:
        serve_waiting: called with the loop time after each attempt, to serve waiting calls.
    """

    def __init__(self, serve_waiting: Callable[[float], None]) -> None:
        self._serve_waiting = serve_waiting
        self._pending: dict[AttemptStep, Plan] = {}
        self._running: set[AttemptStep] = set()

    def launch(self, plan: Plan, step: AttemptStep, request: Any, attempter: Attempter) -> None:
        """Starts one attempt of a plan in the background; abandons it above `MAX_BACKGROUND`.

        It runs in a copy of the call's context, with a copy of the request.
        """
        if len(self._pending) + len(self._running) >= MAX_BACKGROUND:
            plan.abandon(step)
            return
        self._pending[step] = plan
        use = plan.route.use
        use.begin_background()

        def on_end() -> None:
            self._abandon(step)
            use.end_background()

        request = own_copy(request)
        attempter = attempter.for_background(request)
        name = f"trial {step.member.name}"
        attempter.loop.spawn(
            name,
            self._run,
            step,
            request,
            attempter,
            context=copy_context(),
            on_end=on_end,
        )

    async def _run(self, step: AttemptStep, request: Any, attempter: Attempter) -> None:
        plan = self._pending.pop(step)
        self._running.add(step)
        try:
            self._serve_waiting(await attempter.run(plan, step, request))
        finally:
            self._running.discard(step)

    def abandon(self) -> None:
        """Abandons the attempts that were launched but did not begin before their loop ended."""
        for step in tuple(self._pending):
            self._abandon(step)

    def forget(self) -> None:
        """Forgets the attempts of a loop that was closed, or of a parent process."""
        self._pending.clear()
        self._running.clear()

    def _abandon(self, step: AttemptStep) -> None:
        """Abandons an attempt, if its task was cancelled before it began."""
        plan = self._pending.pop(step, None)
        if plan is not None:
            plan.abandon(step)


async def bounded_call(
    function: Callable[[], Awaitable[object]],
    member: Candidate,
    timeout: float,
    loop: EventLoop,
    classifier: Classifier,
) -> tuple[Verdict, Any, Exception | None]:
    """Awaits a function of a provider outside of a plan, with a timeout in seconds.

    Returns:
        The verdict, the returned value, and the exception it raised or that stands for the timeout.
    """
    bound = loop.bound(loop.time() + timeout)
    verdict: Verdict = STRAY_CANCELLATION
    value: Any = None
    error: Exception | None = None
    try:
        with bound:
            value = await function()
            verdict = SUCCESS
    except Exception as raised:  # noqa: BLE001 - any error of the function is classified
        error = readable(raised, member.name)
        verdict = classifier.classify_error(error)
    try:
        if bound.expired:
            error = AttemptTimeout(member.name, "attempt_timeout", timeout)
            verdict = classifier.classify_error(error)
        return verdict, value, error
    finally:
        del error, bound  # the error's traceback holds this frame
