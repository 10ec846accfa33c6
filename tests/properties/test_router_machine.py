"""A whole router in virtual time, in random worlds, with every order of ready tasks."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import permutations
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from multirouter import (
    CircuitPolicy,
    HedgePolicy,
    NoProviderAvailable,
    RetryPolicy,
    UsageError,
)
from multirouter.core.settings.failure_rules import RULES
from multirouter.model import FailureKind
from multirouter.testing import VirtualClock
from tests.properties.property_settings import NO_TIMEOUT, property_settings
from tests.properties.simulation import Caller, Simulation
from tests.properties.worlds import RELIABLE, Call, Hold, ProviderSpec, Update, World, worlds

STEP = 1e-6
"""Tolerance for rounding, seconds."""


# ── checks ──────────────────────────────────────────────────────────────────────────────────────


def check(simulation: Simulation) -> None:
    """Everything that must hold when all callers have ended."""
    assert not simulation.watch.found
    assert not simulation.leftover_tasks
    check_nothing_is_held(simulation)
    check_metrics(simulation)
    check_generations(simulation)
    for caller in simulation.callers:
        check_deadlines(simulation, caller)
        check_prompt_answers(simulation, caller)
        check_availability(simulation, caller)


def check_nothing_is_held(simulation: Simulation) -> None:
    """Every permit, limit, queue entry and deadline was returned."""
    router = simulation.router
    for gate in simulation.gates:
        assert gate.in_flight == 0, gate
        assert gate.circuit.trials.permits == [], gate
        assert gate._limits is None or gate._limits.in_flight == 0, gate
    for limits in router._engine.states._limits.values():
        assert limits.in_flight == 0
    assert router._engine._provider_closing.calls == 0
    assert len(router._engine.wait_queue) == 0
    assert len(router._engine.half_open_timers) == 0
    assert not router._engine.background._pending
    assert all(simulated.in_flight == 0 for simulated in simulation.simulated.values())


def check_metrics(simulation: Simulation) -> None:
    """Callers, events, providers and metrics agree."""
    recorder = simulation.recorder
    entered = [caller for caller in simulation.callers if _entered(caller)]
    assert len(recorder.calls) == len(entered)
    outcomes_seen = {id(caller.outcome) for caller in entered if caller.outcome is not None}
    assert outcomes_seen <= {id(outcome) for outcome in recorder.calls}
    results = Counter(outcome.result for outcome in recorder.calls)
    for result in ("success", "failure", "cancelled", "fallback", "rejected"):
        assert simulation.total("calls_total", outcome=result) == results[result]
    assert simulation.total("call_duration_seconds_count") == len(entered)

    reported = Counter(id(record) for record in recorder.attempts)
    trails = Counter(id(record) for outcome in recorder.calls for record in outcome.attempts)
    assert all(times == 1 for times in (reported | trails).values())
    background = [record for record in recorder.attempts if id(record) not in trails]
    assert trails.keys() <= reported.keys()
    assert all(record.role == "trial" for record in background)
    for name, simulated in simulation.simulated.items():
        records = [record for record in recorder.attempts if record.provider == name]
        assert len(records) == simulated.started + simulated.health_checks
        assert simulation.watch.started[name] == simulated.started
        outcomes = Counter(record.outcome for record in records)
        for outcome in ("success", "failure", "cancelled"):
            labels = {"provider": name, "outcome": outcome}
            assert simulation.total("attempts_total", **labels) == outcomes[outcome]
            assert simulation.total("attempt_duration_seconds_count", **labels) == outcomes[outcome]


def check_generations(simulation: Simulation) -> None:
    """A circuit's changes are reported without a gap; a provider added again starts anew."""
    last: dict[str, tuple[int, str]] = {}
    for change in simulation.recorder.of("circuit_changed"):
        generation, state = last.get(change.provider, (0, "closed"))
        if change.generation == 1:
            generation, state = 0, "closed"
        assert (change.generation, change.old) == (generation + 1, state), change
        last[change.provider] = change.generation, change.new


def check_queue_order(simulation: Simulation) -> None:
    """Of calls that may use the same providers, the first to arrive is served first."""
    queues: dict[Any, list[Caller]] = {}
    for caller in simulation.callers:
        if caller.outcome is not None:
            queues.setdefault((caller.call.route, caller.call.idempotent), []).append(caller)
    for queue in queues.values():
        for earlier, later in permutations(queue, 2):
            started = _served_at(later)
            if earlier.started < later.started <= started < _queued_until(earlier) - STEP:
                assert _served_at(earlier) <= started + STEP, (earlier, later)


def check_prompt_answers(simulation: Simulation, caller: Caller) -> None:
    """An answer reaches its caller at once: no loser of a race delays it."""
    outcome = caller.outcome
    if outcome is None or outcome.result != "success":
        return
    grace = float(max(spec.swallowed_cancellations for spec in simulation.world.providers))
    answered = min(a.started + a.elapsed for a in outcome.attempts if a.outcome == "success")
    assert caller.ended <= answered + grace + STEP, (caller, outcome.attempts)


def check_deadlines(simulation: Simulation, caller: Caller) -> None:
    """Every call ends by its deadline, and at once when it is cancelled.

    A provider that swallows a cancellation is cancelled again a second later, each time.
    """
    call, elapsed = caller.call, caller.ended - caller.started
    grace = float(max(spec.swallowed_cancellations for spec in simulation.world.providers))
    assert elapsed <= call.timeout + grace + STEP
    if call.cancel_after is not None and not grace:
        assert elapsed <= call.cancel_after + STEP
    outcome = caller.outcome
    if outcome is not None and isinstance(outcome.error, NoProviderAvailable):
        left = min(call.wait, call.timeout) - elapsed
        assert left <= STEP or _is_in_vain(outcome.error, left), (outcome.error, left)


def check_availability(simulation: Simulation, caller: Caller) -> None:
    """No call fails that could have been served by the provider which never fails."""
    world, call, outcome = simulation.world, caller.call, caller.outcome
    route = world.names if call.route in (None, "chain") else call.route
    if outcome is None or RELIABLE not in (route or ()):
        return
    failed = [record.verdict for record in outcome.attempts if record.outcome == "failure"]
    if (
        world.max_in_flight is not None
        or call.timeout < world.longest_search()
        or any(verdict.kind is FailureKind.REQUEST for verdict in failed)
        or (not call.idempotent and any(RULES[v.kind].side_effects_possible for v in failed))
    ):
        return
    assert outcome.ok, (outcome, outcome.attempts)


def _is_in_vain(error: NoProviderAvailable, seconds: float) -> bool:
    """Whether it was known at a call's end that no provider becomes available so soon."""
    return error.retry_after is not None and error.retry_after > seconds - STEP


def _served_at(caller: Caller) -> float:
    """Loop time at which a call's first attempt started; infinite without one."""
    attempts = caller.outcome.attempts if caller.outcome is not None else ()
    return min((attempt.started for attempt in attempts), default=math.inf)


def _queued_until(caller: Caller) -> float:
    """Loop time up to which a call queues when it is not served."""
    outcome = caller.outcome
    if outcome is not None and outcome.result in {"rejected", "fallback"}:
        return caller.ended  # it may be known before that no provider becomes available in time
    return caller.started + min(caller.call.wait, caller.call.timeout)


def _entered(caller: Caller) -> bool:
    """Whether the call started: a closed router and an unknown provider raise before that."""
    rejected = isinstance(caller.error, UsageError) and "waiting" not in str(caller.error)
    return not rejected


# ── the properties ──────────────────────────────────────────────────────────────────────────────


def _failing(name: str, latency: float = 0.0) -> ProviderSpec:
    return ProviderSpec(name, ("error", "error"), latency=latency, weight=0.5)


CANCELLED_BEFORE_ITS_TRIAL = World(
    providers=(
        _failing("a"),
        _failing("b", 0.5),
        _failing("guest"),
        ProviderSpec(RELIABLE, weight=0.0),
    ),
    actions=(
        (0.0, Call(1, None, 200.0, 0.0, True, None)),
        (3.0, Hold("a", "closed")),
        (0.0, Update("b", 0.5, None, 1, 2)),
        (0.0, Call(5, None, 200.0, 0.0, True, 0.0)),
        (0.1, Call(1, None, 200.0, 0.0, True, None)),
    ),
    seed=0,
    circuit=CircuitPolicy(failures=1, failure_rate=None, jitter=None, open_duration=1.0),
    hedge=HedgePolicy(after=0.0, max_in_flight=3),
    retry=RetryPolicy(attempts=1, base=0.5, cap=1.0),
    retries=0,
    max_in_flight=3,
    panic=None,
    fallback=None,
    native_cancel=True,
)
"""A call that has waited is cancelled when it just got an attempt with a trial beside it."""


def _call(after: float, timeout: float) -> tuple[float, Call]:
    return after, Call(1, None, timeout, 5.0, True, None)


TWO_BACKOFFS = World(
    providers=(_failing("a"), _failing("b"), ProviderSpec(RELIABLE)),
    actions=(_call(0.0, 200.0), _call(0.0, 200.0), _call(0.5, 0.5), *[_call(0.0, 200.0)] * 5),
    seed=9273,
    circuit=CircuitPolicy(failures=2, failure_rate=None, jitter=None, open_duration=1.0),
    hedge=None,
    retry=RetryPolicy(attempts=4, base=0.5, cap=1.0, max_retry_after=4.0),
    retries=1,
    max_in_flight=1,
    panic=None,
    fallback=None,
    native_cancel=False,
)
"""A call backs off twice without an attempt between: the second backoff must end in time."""


@NO_TIMEOUT
@property_settings(150)
@given(world=worlds(), shuffle=st.integers(0, 999))
@example(world=CANCELLED_BEFORE_ITS_TRIAL, shuffle=239)
@example(world=TWO_BACKOFFS, shuffle=0)
def test_router_in_random_worlds(world: World, shuffle: int) -> None:
    """Case 81: whatever providers, callers and manual changes do, permits and metrics add up.

    In-flight returns to 0, no task and no call is left, calls and attempts add up in events,
    metrics and at the providers, each call ends by its deadline, and none fails that a healthy
    provider could have served. A call that would wait for ever ends the run with a Deadlock.
    """
    check(VirtualClock(shuffle_seed=shuffle).run(Simulation(world).run))


@NO_TIMEOUT
@property_settings(60)
@given(world=worlds(crowded=True), shuffle=st.integers(0, 999))
def test_queue_is_served_in_order(world: World, shuffle: int) -> None:
    """Case 79: where calls queue and no settings change, all of them stand in one queue."""
    simulation = VirtualClock(shuffle_seed=shuffle).run(Simulation(world).run)
    check(simulation)
    check_queue_order(simulation)


@NO_TIMEOUT
@property_settings(30)
@given(world=worlds(), shuffle=st.integers(0, 999))
def test_seed_determines_the_run(world: World, shuffle: int) -> None:
    """Case 90: run twice, a world gives the same choices, events, logs and metrics."""
    world = replace(world, native_cancel=True)  # the tasks of a scope are cancelled in any order
    clock = VirtualClock(shuffle_seed=shuffle)
    first, second = (clock.run(Simulation(world).run) for _ in range(2))
    assert first.trail() == second.trail()
    assert not math.isnan(sum(caller.ended for caller in first.callers))


@NO_TIMEOUT
@property_settings(30)
@given(world=worlds(asyncio_only=False))
def test_router_in_random_worlds_on_trio(world: World) -> None:
    """The same holds on trio."""
    check(VirtualClock(backend="trio").run(Simulation(world).run))
