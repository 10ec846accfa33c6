"""Attempts that nobody awaits: copies that test a recovering provider, and the user's probes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from multirouter.core.circuit.gate import Gate
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.failures.classify import Classifier
from multirouter.core.planning.admission import LEASE_MARGIN
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import AttemptStep
from multirouter.core.routes.resolved_route import ResolvedRoute
from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.errors import AttemptTimeout
from multirouter.model import CANCELLED, SUCCESS, AttemptRecord, Verdict
from multirouter.runtime.attempt import STRAY, Asks
from multirouter.runtime.event_loops.base import EventLoop

MOST = 100
"""Attempts in the background at one time; each half-open circuit has few trials, so a bound that
is reached means that something hangs for ever."""

LONGEST_PROBE = 20.0
"""Seconds that a `health_check=` may take at most, however long attempts may: one that hangs must not keep
the next from beginning within half a minute of it."""

_TEACH_NOTHING = frozenset({CircuitEffect.NEUTRAL, CircuitEffect.COOL})


class BackgroundAttempts:
    """Runs attempts beside the calls, in tasks of the router's own, cancelled when it closes.

    Args:
        settled: called with the loop time after each attempt, so that waiting calls are served.
    """

    def __init__(self, settled: Callable[[float], None]) -> None:
        self._settled = settled
        self._pending: dict[AttemptStep, Plan] = {}
        self._running = 0

    def launch(self, plan: Plan, step: AttemptStep, request: Any, asker: Asks) -> None:
        """Makes one attempt of a plan in the background, or takes it back when there is no room."""
        if len(self._pending) + self._running >= MOST:
            plan.abandon(step)
            return
        self._pending[step] = plan
        asker.loop.spawn(f"probe {step.member.name}", self._run, step, request, asker)

    async def _run(self, step: AttemptStep, request: Any, asker: Asks) -> None:
        plan = self._pending.pop(step)
        self._running += 1
        try:
            self._settled(await asker.ask(plan, step, request))
        finally:
            self._running -= 1

    def abandon(self) -> None:
        """Takes back what was launched in a loop that ended before it could begin."""
        for step, plan in self._pending.items():
            plan.abandon(step)
        self._pending.clear()


async def health_check(
    member: Candidate,
    route: ResolvedRoute,
    loop: EventLoop,
    classifier: Classifier,
    dispatcher: EventDispatcher,
) -> None:
    """Tests a half-open provider by the user's own `health_check=`, as often as its circuit wants.

    Each test is a trial like any other: it takes a permit, has a deadline, and its verdict moves
    the circuit. One that says nothing about health is repeated after a rest.
    """
    gate, test = member.gate, member.provider.health_check
    timeout = min(member.timeout, LONGEST_PROBE)
    while test is not None and not gate.removed and gate.on_trial(loop.time()):
        started = loop.time()
        verdict, error = CANCELLED, None
        permit = gate.acquire(started, 0, timeout + LEASE_MARGIN)
        if permit is not None:
            try:
                verdict, _, error = await tested(test, member, timeout, loop, classifier)
            finally:
                _release(gate, permit, route, verdict, error, started, loop.time(), dispatcher)
        if route.rules[verdict.kind].circuit in _TEACH_NOTHING:
            left = gate.cooldown_until - loop.time()
            await anyio.sleep(max(gate.circuit.policy.open_duration, left))


async def tested(
    test: Callable[[], Awaitable[object]],
    member: Candidate,
    timeout: float,
    loop: EventLoop,
    classifier: Classifier,
) -> tuple[Verdict, Any, Exception | None]:
    """One await that no call is behind: what it counts as, what it returned, what it raised."""
    bound = loop.bound(loop.time() + timeout)
    verdict: Verdict = STRAY
    value: Any = None
    error: Exception | None = None
    try:
        with bound:
            value = await test()
            verdict = SUCCESS
    except Exception as raised:  # noqa: BLE001  # whatever a probe of the user raises is judged
        verdict, error = classifier.error(raised), raised
    if bound.expired:
        error = AttemptTimeout(member.name, "attempt_timeout", timeout)
        verdict = classifier.error(error)
    return verdict, value, error


def _release(
    gate: Gate,
    permit: Any,
    route: ResolvedRoute,
    verdict: Verdict,
    error: BaseException | None,
    started: float,
    now: float,
    dispatcher: EventDispatcher,
) -> None:
    elapsed = now - started
    if verdict is SUCCESS:
        late = gate.release_answered(permit, now, elapsed)
    else:
        late = gate.release_unanswered(permit, verdict, route.rules[verdict.kind].circuit, now)
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
    dispatcher.post("attempt_ended", record)
    dispatcher.deliver()
