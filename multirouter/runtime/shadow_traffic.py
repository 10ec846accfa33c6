"""Copies of answered calls, made in the background: nobody waits for them, no circuit hears."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.failures.classify import Classifier
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.shadow import Shadow
from multirouter.errors import AttemptTimeout, ProviderError
from multirouter.model import CANCELLED, SUCCESS, AttemptRecord, CallOutcome, Verdict
from multirouter.runtime.attempt import Asker, judged
from multirouter.runtime.trials import tested

WHY = "a copy of an answered call"

Came = tuple[Verdict, Any, Exception | None]
"""What a copy came to: its verdict, its answer, what it raised or what stands for it."""


class ShadowTraffic:
    """Makes the copies that `Shadow` asks for, in tasks that end with the router.

    Args:
        rng: the router's chance.
        wire: where their records are told.
        classifier: judges what came back, as it does for calls.
        settled: called with the loop time after each copy, so that waiting calls are served.
        broken: told of a `compare=` that raised, and of what it raised.
    """

    def __init__(
        self,
        rng: Random,
        dispatcher: EventDispatcher,
        classifier: Classifier,
        settled: Callable[[float], None],
        broken: Callable[[Callable[..., Any], Exception], None],
    ) -> None:
        self._rng = rng
        self._dispatcher = dispatcher
        self._classifier = classifier
        self._settled = settled
        self._broken = broken
        self._running: Counter[Shadow] = Counter()

    def follow(self, plan: Plan, outcome: CallOutcome[Any], request: Any, asker: Asker) -> None:
        """Copies a call that has ended, when chance and its route will have it."""
        route = plan.route
        if route.shadow is None or not outcome.ok or not plan.idempotent:
            return
        asked = {record.provider for record in outcome.attempts}
        member = route.shadow.drawn(self._rng, asked, asker.loop.time())
        if member is not None:
            shadow = route.shadow.policy
            name = f"shadow {member.name}"
            asker.loop.spawn(name, self._run, member, shadow, route, request, outcome.value, asker)

    async def _run(
        self,
        member: Candidate,
        shadow: Shadow,
        route: ResolvedRoute,
        request: Any,
        answer: Any,
        asker: Asker,
    ) -> None:
        """Makes one copy, unless there is no room for it any more."""
        step = self._admitted(member, shadow, request, asker.loop.time())
        if step is None:
            return
        if self._dispatcher.starts_heard:
            asker.tell_start(step)
        self._running[shadow] += 1
        verdict: Verdict = CANCELLED
        value: Any = None
        error: Exception | None = None
        try:
            verdict, value, error = await self._tried(member, route, request, asker)
        finally:
            self._running[shadow] -= 1
            self._end(step, route, (verdict, value, error), request, asker.loop.time())
        if shadow.compare is not None:
            await self._compared(shadow.compare, request, answer, value if error is None else error)

    def _admitted(
        self, member: Candidate, shadow: Shadow, request: Any, now: float
    ) -> AttemptStep | None:
        """The copy with its permit; None when its provider is unwell, or has no room."""
        if self._running[shadow] >= shadow.at_most or not member.gate.closed(now):
            return None
        limits = member.provider.limits
        size = 0 if limits is None or limits.size is None else max(0, int(limits.size(request)))
        permit = member.gate.acquire(now, size, member.timeout)
        if permit is None:
            return None
        return AttemptStep(member, permit, now, now + member.timeout, "shadow", WHY)

    async def _tried(
        self, member: Candidate, route: ResolvedRoute, request: Any, asker: Asker
    ) -> Came:
        """One await, judged as an attempt of the call would be."""
        verdict, value, error = await tested(
            lambda: member.call(request), member, member.timeout, asker.loop, self._classifier
        )
        if verdict is SUCCESS:
            verdict = self._classifier.value(value)
            if verdict is SUCCESS and route.accept is not None:
                verdict = judged(route.accept, value)
            if verdict is not SUCCESS:
                text = f"the copy's answer counts as {verdict.kind} ({verdict.reason})"
                error = ProviderError(text, provider=member.name, kind=verdict.kind)
        return verdict, value, error

    def _end(
        self, step: AttemptStep, route: ResolvedRoute, came: Came, request: Any, now: float
    ) -> None:
        """Gives the permit back with nothing learned by the circuit, and tells what came of it."""
        verdict, value, error = came
        member, elapsed = step.member, now - step.started
        member.gate.give_back(step.permit)
        if verdict is SUCCESS:
            member.latency.answered(elapsed, now)
            member.health.answered(now)
            if member.speed is not None:
                member.speed.learn(elapsed, now)
        else:
            if isinstance(error, AttemptTimeout):
                member.latency.timed_out(elapsed, trial=False)
            member.learn(verdict.kind, route.rules[verdict.kind].circuit, elapsed, now)
        record = AttemptRecord(
            member.name, route.name, "shadow", verdict, error, step.started, elapsed, step.why
        )
        if route.billing is not None:  # it prices a copy, and charges nobody
            route.billing.book(record, step.meter, value, request, 0)
        self._dispatcher.post("attempt_ended", record)
        self._dispatcher.deliver()
        self._settled(now)

    async def _compared(
        self, compare: Callable[[Any, Any, Any], object], request: Any, answer: Any, shadow: Any
    ) -> None:
        try:
            said = compare(request, answer, shadow)
            if inspect.isawaitable(said):
                await said
        except Exception as error:  # noqa: BLE001 - a hook may break, the router goes on
            self._broken(compare, error)
