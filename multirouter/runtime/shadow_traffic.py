"""Shadow copies: answered calls repeated in the background, without effect on circuits."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from contextvars import copy_context
from random import Random
from typing import Any

from multirouter.core.circuit.copy_gates import CopyGates
from multirouter.core.circuit.permits import Permit
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.failures.classify import Classifier
from multirouter.core.failures.own_process import circuit_effect
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep, CallTracer
from multirouter.core.request_transform import own_copy
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.shadow import Shadow
from multirouter.errors import AttemptTimeout
from multirouter.model import CANCELLED, SUCCESS, AttemptRecord, CallOutcome, Verdict
from multirouter.runtime.attempt import CallAttempter
from multirouter.runtime.event_loops.base import EventLoop
from multirouter.runtime.recovery.trials import bounded_call

WHY = "shadow copy of an answered call"

Trace = tuple[CallTracer, Any]
"""The tracer, and what it keeps of the call that is copied."""

ShadowResult = tuple[Verdict, Any, Exception | None]
"""Result of a copy: its verdict, its answer, and the exception it raised or that stands for it."""


class ShadowTraffic:
    """Makes the copies of the `Shadow` policy, in background tasks that end with the router.

    Args:
        rng: the router's random numbers.
        dispatcher: delivers the records of the copies.
        classifier: classifies the results, as for calls.
        serve_waiting: called with the loop time after each copy, to serve waiting calls.
        on_error: called with a `compare=` that raised, and its exception.
    """

    def __init__(
        self,
        rng: Random,
        dispatcher: EventDispatcher,
        classifier: Classifier,
        serve_waiting: Callable[[float], None],
        on_error: Callable[[Callable[..., Any], Exception], None],
    ) -> None:
        self._rng = rng
        self._dispatcher = dispatcher
        self._classifier = classifier
        self._serve_waiting = serve_waiting
        self._on_error = on_error
        self._running: Counter[Shadow] = Counter()
        self._gates = CopyGates(rng)

    def rebind(self, loop: EventLoop, by: float) -> None:
        """Moves to `loop`, whose clock is `by` seconds ahead of the previous loop's."""
        self._gates.shift(by)

    async def shutdown(self) -> None:
        """Does nothing: copies are cancelled."""

    def forget_attempts(self) -> None:
        """Forgets the copies of a loop that was closed, or of a parent process."""
        self._running = Counter()
        self._gates.forget_attempts()

    def maybe_copy(
        self, plan: Plan, outcome: CallOutcome[Any], request: Any, attempter: CallAttempter
    ) -> None:
        """Copies a call that has ended, if its route has a shadow and the call is sampled.

        The copy runs in a copy of the call's context. It and `compare=` get copies of the request
        and of the answer, which the caller may change from now on.
        """
        route = plan.route
        if route.shadow is None or not outcome.ok or not plan.idempotent:
            return
        attempted = {record.provider for record in outcome.attempts}
        now = attempter.loop.time()
        member = route.shadow.choose(
            self._rng, attempted, now, lambda found: self._gates.of(found.gate).admits(now)
        )
        if member is not None:
            shadow = route.shadow.policy
            name = f"shadow {member.name}"
            request, answer = own_copy(request), own_copy(outcome.value)
            tracer = plan.tracer
            trace = None if tracer is None else (tracer, plan.observation)
            route.use.begin_background()
            attempter.loop.spawn(
                name,
                self._run,
                member,
                shadow,
                route,
                request,
                answer,
                attempter,
                trace,
                context=copy_context(),
                on_end=route.use.end_background,
            )

    async def _run(
        self,
        member: Candidate,
        shadow: Shadow,
        route: ResolvedRoute,
        request: Any,
        answer: Any,
        attempter: CallAttempter,
        trace: Trace | None,
    ) -> None:
        """Makes one copy, unless the number of copies or the provider's limits forbid it."""
        admitted = self._admit(member, shadow, request, attempter.loop.time())
        if admitted is None:
            return
        step, permit = admitted
        running, use = self._running, route.use
        if trace is not None:
            trace[0].copy_started(trace[1], step, request)
        if self._dispatcher.has_start_listeners:
            attempter.report_start(step)
        running[shadow] += 1
        verdict: Verdict = CANCELLED
        value: Any = None
        error: Exception | None = None
        try:
            verdict, value, error = await self._attempt(member, route, request, attempter)
        finally:
            running[shadow] -= 1
            if not use.lost:
                result = (verdict, value, error)
                self._end(step, permit, route, result, request, attempter.loop, trace)
                del result
            value = value if error is None else error
            error = None  # its traceback holds this frame
        try:
            if shadow.compare is not None:
                await self._compare(shadow.compare, request, answer, value)
        finally:
            del value

    def _admit(
        self, member: Candidate, shadow: Shadow, request: Any, now: float
    ) -> tuple[AttemptStep, Permit] | None:
        """The copy with its permit of the gate for copies.

        None when the provider is unhealthy or at a limit, also as far as only copies show it.
        """
        if self._running[shadow] >= shadow.max_in_flight or not member.gate.selectable(now):
            return None
        limits = member.provider.limits
        size = 0 if limits is None or limits.size is None else max(0, int(limits.size(request)))
        model = member.limit_model(request)
        own = member.gate.acquire(now, size, member.timeout, model=model)
        if own is None:
            return None
        permit = self._gates.of(member.gate).acquire(now, 0, member.timeout)
        if permit is None:
            member.gate.return_unused(own, model)
            return None
        step = AttemptStep(member, own, now, now + member.timeout, "shadow", WHY)
        step.limit_model = model
        return step, permit

    async def _attempt(
        self, member: Candidate, route: ResolvedRoute, request: Any, attempter: CallAttempter
    ) -> ShadowResult:
        """Awaits the provider and classifies the result as for an attempt of the call."""
        sent = own_copy(request)
        verdict, value, error = await bounded_call(
            lambda: member.call(_without_dropped(member, sent)),
            member,
            member.timeout,
            attempter.loop,
            self._classifier,
        )
        try:
            if verdict is SUCCESS:
                verdict, error = attempter.classify_answer(
                    member.name, route.accept, value, request
                )
            return verdict, value, error
        finally:
            del error  # its traceback holds this frame

    def _end(
        self,
        step: AttemptStep,
        permit: Permit,
        route: ResolvedRoute,
        result: ShadowResult,
        request: Any,
        loop: EventLoop,
        trace: Trace | None,
    ) -> None:
        """Returns the permits without effect on calls; updates latency and health; reports."""
        verdict, value, error = result
        now = loop.time()
        member, elapsed = step.member, now - step.started
        copies = self._gates.of(member.gate)
        member.gate.return_unused(step.permit, step.limit_model)
        if verdict is SUCCESS:
            copies.release_answered(permit, now, elapsed)
            step.stalled = loop.stalls.distorts(step.started, now)
            if not step.stalled:
                member.latency.record(elapsed, now)
            member.health.record_success(now)
            if member.latency_average is not None and not step.stalled:
                member.latency_average.record(elapsed, now, member.gate.in_flight)
        else:
            step.stalled = loop.stalls.excuses(step.started, now)
            if isinstance(error, AttemptTimeout) and not step.stalled:
                member.latency.record_timeout(elapsed, trial=False)
            effect = circuit_effect(route.rules, verdict, stalled=step.stalled)
            copies.release_unanswered(permit, verdict, effect, now)
            member.record_failure(verdict.kind, effect, elapsed, now, stalled=step.stalled)
        record = AttemptRecord(
            member.name, route.name, "shadow", verdict, error, step.started, elapsed, step.why
        )
        record.stalled = step.stalled
        route.billing.charge(record, member.pricing, step.meter, value, request, 0)
        if trace is not None:
            trace[0].attempt_ended(step, record, value)
        self._dispatcher.post("attempt_ended", record)
        self._dispatcher.deliver()
        self._serve_waiting(now)

    async def _compare(
        self, compare: Callable[[Any, Any, Any], object], request: Any, answer: Any, shadow: Any
    ) -> None:
        try:
            result = compare(request, answer, shadow)
            if inspect.isawaitable(result):
                await result
        except Exception as error:  # noqa: BLE001 - an error of the user's hook is only reported
            self._on_error(compare, error)


def _without_dropped(member: Candidate, request: Any) -> Any:
    """The request that the provider is sent, on a route that drops what it lacks."""
    return request if member.dropping is None else member.dropping.apply(request)[0]
