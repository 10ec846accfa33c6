"""Health checks: runs of a provider's `health_check=` as trials of its half-open circuit."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from multirouter.core import function_checks as hooks
from multirouter.core.circuit.gate import Gate
from multirouter.core.circuit.trial_lease import lease_for
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.failures.classify import Classifier
from multirouter.core.failures.own_process import circuit_effect
from multirouter.core.planning.steps import PlanContext
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.errors import ProviderError
from multirouter.model import CANCELLED, SUCCESS, AttemptRecord, FailureKind, Verdict
from multirouter.runtime.event_loops.base import EventLoop
from multirouter.runtime.recovery.trials import bounded_call

MAX_HEALTH_CHECK = 20.0
"""Maximum seconds of one health check, also where `attempt_timeout` is longer: when one hangs, the
next begins within half a minute of it."""

NEUTRAL_EFFECTS = frozenset({CircuitEffect.NEUTRAL, CircuitEffect.COOLDOWN})
"""Effects that neither close nor open a half-open circuit."""


class HealthChecks:
    """Runs health checks, and knows when the next one of each provider is due.

    Each run is a trial: it takes a permit, has a deadline, and its verdict decides the circuit. One
    with a neutral verdict is repeated after the circuit's open duration.

    Args:
        find: returns a provider of the router as a candidate of a route, which has the rules for
            its failures.
        classifier: classifies what a health check raises.
        dispatcher: delivers the records.
        serve_waiting: called with the loop time after each check, to serve waiting calls.
        context: has the tracer, if there is one.
    """

    def __init__(
        self,
        find: Callable[[str], tuple[Candidate, ResolvedRoute]],
        classifier: Classifier,
        dispatcher: EventDispatcher,
        serve_waiting: Callable[[float], None],
        context: PlanContext,
    ) -> None:
        self._context = context
        self._find = find
        self._classifier = classifier
        self._dispatcher = dispatcher
        self._serve_waiting = serve_waiting
        self._not_before: dict[str, tuple[int, float]] = {}

    def clear(self) -> None:
        """Forgets the pauses after neutral checks, whose instants are those of another loop."""
        self._not_before.clear()

    def due(self, gate: Gate) -> float:
        """Loop time from which the next check may run; infinite without a `health_check=`."""
        if self._find(gate.name)[0].provider.health_check is None:
            return math.inf
        generation, instant = self._not_before.get(gate.name, (-1, 0.0))
        return instant if generation == gate.circuit.generation else -math.inf

    async def run(self, gate: Gate, loop: EventLoop) -> None:
        """Runs one health check, if it gets a permit."""
        member, route = self._find(gate.name)
        function = member.provider.health_check
        timeout = min(member.timeout, MAX_HEALTH_CHECK)
        started = loop.time()
        pause = gate.circuit.policy.open_duration
        self._not_before[gate.name] = gate.circuit.generation, started + pause
        permit = gate.acquire(started, 0, lease_for(timeout, pause))
        if permit is None or function is None:
            return
        verdict, error = CANCELLED, None
        use, tracer = route.use, self._context.tracer
        trace = None if tracer is None else tracer.check_started(member)
        use.begin_background()
        try:
            verdict, returned, error = await bounded_call(
                partial(_unhealthy, function), member, timeout, loop, self._classifier
            )
            if returned:  # a failure, as if it had raised
                verdict = Verdict(FailureKind.UNKNOWN, reason=f"health check returned {returned}")
                text = f"health_check= of {member.name!r} returned {returned}"
                error = ProviderError(text, provider=member.name, kind=verdict.kind)
        finally:
            now = loop.time()
            effect = circuit_effect(route.rules, verdict, stalled=False)
            next_at = now + pause if effect in NEUTRAL_EFFECTS else now
            self._not_before[gate.name] = gate.circuit.generation, next_at
            use.end_background()
            if tracer is not None:
                tracer.check_ended(trace, verdict)
            if not use.lost:
                self._release(gate, permit, route, verdict, error, started, loop)
        self._serve_waiting(loop.time())

    def _release(
        self,
        gate: Gate,
        permit: Any,
        route: ResolvedRoute,
        verdict: Verdict,
        error: BaseException | None,
        started: float,
        loop: EventLoop,
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
        self._dispatcher.post("attempt_ended", record)
        self._dispatcher.deliver()


async def _unhealthy(health_check: Callable[[], object]) -> str:
    """What a health check returned if that counts as False, else "".

    The kind of its function may be unknown until it is called.
    """
    result = health_check()
    if isinstance(result, Awaitable):
        result = await result
    return reprlib.repr(result) if hooks.counts_as_false(result) else ""
