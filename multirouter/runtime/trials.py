"""Trials of half-open circuits in the background: copies of calls, and `health_check=`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

import anyio

from multirouter.core.circuit.gate import Gate
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.failures.classify import Classifier
from multirouter.core.failures.stalled import circuit_effect
from multirouter.core.planning.admission import LEASE_MARGIN
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.request_transform import own_copy
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.errors import AttemptTimeout
from multirouter.model import CANCELLED, SUCCESS, AttemptRecord, Verdict
from multirouter.runtime.attempt import STRAY_CANCELLATION, Attempter
from multirouter.runtime.event_loops.base import EventLoop

MAX_BACKGROUND = 100
"""Background attempts at one time. A half-open circuit has few trials, so reaching this limit means
that attempts hang."""

MAX_HEALTH_CHECK = 20.0
"""Maximum seconds of one health check, also where `attempt_timeout` is longer: when one hangs, the
next begins within half a minute of it."""

NEUTRAL_EFFECTS = frozenset({CircuitEffect.NEUTRAL, CircuitEffect.COOLDOWN})
"""Effects that neither close nor open a half-open circuit."""


class BackgroundAttempts:
    """Runs attempts in background tasks, which are cancelled when the router closes.

    Args:
        serve_waiting: called with the loop time after each attempt, to serve waiting calls.
    """

    def __init__(self, serve_waiting: Callable[[float], None]) -> None:
        self._serve_waiting = serve_waiting
        self._pending: dict[AttemptStep, Plan] = {}
        self._running = 0

    def launch(self, plan: Plan, step: AttemptStep, request: Any, attempter: Attempter) -> None:
        """Starts one attempt of a plan in the background; abandons it above `MAX_BACKGROUND`.

        It runs in a copy of the call's context, with a copy of the request.
        """
        if len(self._pending) + self._running >= MAX_BACKGROUND:
            plan.abandon(step)
            return
        self._pending[step] = plan
        request = own_copy(request)
        attempter = attempter.for_background(request)
        name = f"trial {step.member.name}"
        attempter.loop.spawn(name, self._run, step, request, attempter, context=copy_context())

    async def _run(self, step: AttemptStep, request: Any, attempter: Attempter) -> None:
        plan = self._pending.pop(step)
        self._running += 1
        try:
            self._serve_waiting(await attempter.run(plan, step, request))
        finally:
            self._running -= 1

    def abandon(self) -> None:
        """Abandons the attempts that were launched but did not begin before their loop ended."""
        for step, plan in self._pending.items():
            plan.abandon(step)
        self._pending.clear()


async def run_health_checks(
    member: Candidate,
    route: ResolvedRoute,
    loop: EventLoop,
    classifier: Classifier,
    dispatcher: EventDispatcher,
) -> None:
    """Runs a provider's `health_check=` until its circuit is no longer half-open.

    Each run is a trial: it takes a permit, has a deadline, and its verdict decides the circuit. One
    with a neutral verdict is repeated after the circuit's open duration, or its cooldown.
    """
    gate, function = member.gate, member.provider.health_check
    timeout = min(member.timeout, MAX_HEALTH_CHECK)
    while function is not None and not gate.removed and gate.half_open(loop.time()):
        started = loop.time()
        verdict, error = CANCELLED, None
        permit = gate.acquire(started, 0, timeout + LEASE_MARGIN)
        if permit is not None:
            try:
                verdict, _, error = await bounded_call(function, member, timeout, loop, classifier)
            finally:
                _release(gate, permit, route, verdict, error, started, loop, dispatcher)
        if route.rules[verdict.kind].circuit in NEUTRAL_EFFECTS:
            left = gate.cooldown_until - loop.time()
            await anyio.sleep(max(gate.circuit.policy.open_duration, left))


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
        verdict, error = classifier.classify_error(raised), raised
    if bound.expired:
        error = AttemptTimeout(member.name, "attempt_timeout", timeout)
        verdict = classifier.classify_error(error)
    return verdict, value, error


def _release(
    gate: Gate,
    permit: Any,
    route: ResolvedRoute,
    verdict: Verdict,
    error: BaseException | None,
    started: float,
    loop: EventLoop,
    dispatcher: EventDispatcher,
) -> None:
    now = loop.time()
    elapsed = now - started
    if verdict is SUCCESS:
        stalled = loop.stalls.distorts(started, now)
        late = gate.release_answered(permit, now, 0.0 if stalled else elapsed)
    else:
        stalled = loop.stalls.excuses(started, now)
        effect = circuit_effect(route.rules, verdict, stalled=stalled)
        late = gate.release_unanswered(permit, verdict, effect, now)
    record = AttemptRecord(
        gate.name,
        route.name,
        "trial",
        verdict,
        error,
        started,
        elapsed,
        "the provider's health_check=",
        late,
    )
    record.stalled = stalled
    dispatcher.post("attempt_ended", record)
    dispatcher.deliver()
