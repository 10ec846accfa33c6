"""Attempts that nobody awaits: copies that test a recovering provider, and the user's probes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from multirouter.core.circuit.gate import Gate
from multirouter.core.event_dispatcher import Newswire
from multirouter.core.failures.classify import Classifier
from multirouter.core.planning.admission import LEASE_MARGIN
from multirouter.core.planning.plan import Plan
from multirouter.core.planning.steps import Try
from multirouter.core.routes.resolved_route import CompiledRoute
from multirouter.core.selection.candidate import Member
from multirouter.core.settings.failure_rules import Effect
from multirouter.errors import AttemptTimeout
from multirouter.model import CANCELLED, SUCCESS, AttemptRecord, Verdict
from multirouter.runtime.attempt import STRAY, Asks
from multirouter.runtime.event_loops.base import EventLoop

MOST = 100
"""Attempts in the background at one time; each half-open circuit has few trials, so a bound that
is reached means that something hangs for ever."""

LONGEST_PROBE = 20.0
"""Seconds that a `probe=` may take at most, however long attempts may: one that hangs must not keep
the next from beginning within half a minute of it."""

_TEACH_NOTHING = frozenset({Effect.NEUTRAL, Effect.COOL})


class BackgroundAttempts:
    """Runs attempts beside the calls, in tasks of the router's own, cancelled when it closes.

    Args:
        settled: called with the loop time after each attempt, so that waiting calls are served.
    """

    def __init__(self, settled: Callable[[float], None]) -> None:
        self._settled = settled
        self._pending: dict[Try, Plan] = {}
        self._running = 0

    def launch(self, plan: Plan, step: Try, request: Any, asker: Asks) -> None:
        """Makes one attempt of a plan in the background, or takes it back when there is no room."""
        if len(self._pending) + self._running >= MOST:
            plan.abandon(step)
            return
        self._pending[step] = plan
        asker.loop.spawn(f"probe {step.member.name}", self._run, step, request, asker)

    async def _run(self, step: Try, request: Any, asker: Asks) -> None:
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


async def probe(
    member: Member, route: CompiledRoute, loop: EventLoop, classifier: Classifier, wire: Newswire
) -> None:
    """Tests a half-open provider by the user's own `probe=`, as often as its circuit wants.

    Each test is a trial like any other: it takes a permit, has a deadline, and its verdict moves
    the circuit. One that says nothing about health is repeated after a rest.
    """
    gate, test = member.gate, member.provider.probe
    timeout = min(member.timeout, LONGEST_PROBE)
    while test is not None and not gate.removed and gate.on_trial(loop.time()):
        started = loop.time()
        verdict, error = CANCELLED, None
        permit = gate.acquire(started, 0, timeout + LEASE_MARGIN)
        if permit is not None:
            try:
                verdict, _, error = await tested(test, member, timeout, loop, classifier)
            finally:
                _release(gate, permit, route, verdict, error, started, loop.time(), wire)
        if route.rules[verdict.kind].circuit in _TEACH_NOTHING:
            left = gate.cooling_until - loop.time()
            await anyio.sleep(max(gate.circuit.policy.open_for, left))


async def tested(
    test: Callable[[], Awaitable[object]],
    member: Member,
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
    route: CompiledRoute,
    verdict: Verdict,
    error: BaseException | None,
    started: float,
    now: float,
    wire: Newswire,
) -> None:
    elapsed = now - started
    if verdict is SUCCESS:
        late = gate.release_answered(permit, now, elapsed)
    else:
        late = gate.release_unanswered(permit, verdict, route.rules[verdict.kind].circuit, now)
    record = AttemptRecord(
        gate.name,
        route.name,
        "probe",
        verdict,
        error,
        started,
        elapsed,
        "the provider's probe=",
        late,
    )
    wire.post("attempt_ended", record)
    wire.deliver()
