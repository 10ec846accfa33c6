"""A whole router in virtual time, in worlds drawn at random, with every order of ready tasks."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from multirouter import UsageError
from multirouter.core.settings.failure_rules import RULES
from multirouter.model import FailureKind
from multirouter.testing import VirtualClock
from tests.properties.effort import PATIENT, effort
from tests.properties.stage import Caller, Stage
from tests.properties.worlds import ROCK, World, worlds

STEP = 1e-6
"""Seconds that rounding may cost."""


# ── what holds for each run ──────────────────────────────────────────────────────────────────────


def check(stage: Stage) -> None:
    """All that must hold when everybody has gone home."""
    assert not stage.watch.found
    assert not stage.left_over
    check_nothing_is_held(stage)
    check_books(stage)
    check_eras(stage)
    for caller in stage.callers:
        check_end(stage, caller)
        check_haste(stage, caller)
        check_service(stage, caller)


def check_nothing_is_held(stage: Stage) -> None:
    """Every permit, slot, place in the line and deadline was given back."""
    router = stage.router
    for gate in stage.gates:
        assert gate.in_flight == 0, gate
        assert gate.circuit._trials == [], gate
        assert gate._limits is None or gate._limits.in_flight == 0, gate
    for limits in router._engine.memory._limits.values():
        assert limits.in_flight == 0
    assert router._engine.residence.calls == 0
    assert len(router._engine.waiting) == 0
    assert len(router._engine.resets) == 0
    assert not router._engine.background._pending
    assert all(actor.in_flight == 0 for actor in stage.actors.values())


def check_books(stage: Stage) -> None:
    """What callers saw, what was told, what providers did and what is counted are one."""
    news = stage.news
    entered = [caller for caller in stage.callers if _entered(caller)]
    assert len(news.calls) == len(entered)
    seen = {id(caller.outcome) for caller in entered if caller.outcome is not None}
    assert seen <= {id(outcome) for outcome in news.calls}
    results = Counter(outcome.result for outcome in news.calls)
    for result in ("success", "failure", "cancelled", "fallback", "refused"):
        assert stage.total("calls_total", outcome=result) == results[result]
    assert stage.total("call_duration_seconds_count") == len(entered)

    told = Counter(id(record) for record in news.attempts)
    trails = Counter(id(record) for outcome in news.calls for record in outcome.attempts)
    assert all(times == 1 for times in (told | trails).values())
    beside = [record for record in news.attempts if id(record) not in trails]
    assert trails.keys() <= told.keys()
    assert all(record.role == "trial" for record in beside)
    for name, actor in stage.actors.items():
        records = [record for record in news.attempts if record.provider == name]
        assert len(records) == actor.begun + actor.probed
        assert stage.watch.started[name] == actor.begun
        outcomes = Counter(record.outcome for record in records)
        for outcome in ("success", "failure", "cancelled"):
            labels = {"provider": name, "outcome": outcome}
            assert stage.total("attempts_total", **labels) == outcomes[outcome]
            assert stage.total("attempt_duration_seconds_count", **labels) == outcomes[outcome]


def check_eras(stage: Stage) -> None:
    """A circuit's changes are told without a gap; who left and came back begins anew."""
    last: dict[str, tuple[int, str]] = {}
    for change in stage.news.of("circuit_changed"):
        generation, state = last.get(change.provider, (0, "closed"))
        if change.generation == 1:
            generation, state = 0, "closed"
        assert (change.generation, change.old) == (generation + 1, state), change
        last[change.provider] = change.generation, change.new


def check_line(stage: Stage) -> None:
    """Of calls that may ask the same providers, who came first is served first."""
    lines: dict[Any, list[Caller]] = {}
    for caller in stage.callers:
        if caller.outcome is not None:
            lines.setdefault((caller.call.route, caller.call.idempotent), []).append(caller)
    for line in lines.values():
        for earlier, later in permutations(line, 2):
            served = _served_at(later)
            if earlier.started < later.started <= served < _leaves_line_at(earlier) - STEP:
                assert _served_at(earlier) <= served + STEP, (earlier, later)


def check_haste(stage: Stage, caller: Caller) -> None:
    """An answer reaches its caller when it is there: no loser of a race holds it up."""
    outcome = caller.outcome
    if outcome is None or outcome.result != "success":
        return
    grace = float(max(player.swallows for player in stage.world.players))
    answered = min(a.started + a.elapsed for a in outcome.attempts if a.outcome == "success")
    assert caller.ended <= answered + grace + STEP, (caller, outcome.attempts)


def check_end(stage: Stage, caller: Caller) -> None:
    """Every call ends by its deadline, and at once when its caller leaves.

    A provider that swallows a cancellation gets another one a second later, each time.
    """
    call, took = caller.call, caller.ended - caller.started
    grace = float(max(player.swallows for player in stage.world.players))
    assert took <= call.timeout + grace + STEP
    if call.leaves is not None and not grace:
        assert took <= call.leaves + STEP
    outcome = caller.outcome
    if outcome is not None and outcome.result == "refused":
        assert took >= min(call.wait, call.timeout) - STEP


def check_service(stage: Stage, caller: Caller) -> None:
    """No call fails that could have been served by the provider which never fails."""
    world, call, outcome = stage.world, caller.call, caller.outcome
    route = world.names if call.route in (None, "chain") else call.route
    if outcome is None or ROCK not in (route or ()):
        return
    failed = [record.verdict for record in outcome.attempts if record.outcome == "failure"]
    if (
        world.at_most is not None
        or call.timeout < world.enough()
        or any(verdict.kind is FailureKind.REQUEST for verdict in failed)
        or (not call.idempotent and any(RULES[v.kind].side_effects_possible for v in failed))
    ):
        return
    assert outcome.ok, (outcome, outcome.attempts)


def _served_at(caller: Caller) -> float:
    """When a call's first attempt began; never, when it had none."""
    attempts = caller.outcome.attempts if caller.outcome is not None else ()
    return min((attempt.started for attempt in attempts), default=math.inf)


def _leaves_line_at(caller: Caller) -> float:
    """The instant up to which a call stands in line when nobody serves it."""
    return caller.started + min(caller.call.wait, caller.call.timeout)


def _entered(caller: Caller) -> bool:
    """Whether the call began: a closed router and an unknown provider are told at the door."""
    refused = isinstance(caller.error, UsageError) and "waited for room" not in str(caller.error)
    return not refused


# ── the properties ───────────────────────────────────────────────────────────────────────────────


@PATIENT
@effort(150)
@given(world=worlds(), shuffle=st.integers(0, 999))
def test_a_router_is_right_in_every_world(world: World, shuffle: int) -> None:
    """Case 81: whatever providers, callers and hands do, permits come back and the books balance.

    In-flight returns to 0, no task and no call is left, calls and attempts add up in news, metrics
    and at the providers, each call ends by its deadline, and none fails that a healthy provider
    could have served. Who would wait for ever ends the run with a Deadlock.
    """
    check(VirtualClock(shuffle_seed=shuffle).run(Stage(world).play))


@PATIENT
@effort(60)
@given(world=worlds(crowded=True), shuffle=st.integers(0, 999))
def test_a_crowd_is_served_in_order(world: World, shuffle: int) -> None:
    """Case 79: where calls wait for room and nobody changes settings, all stand in one line."""
    stage = VirtualClock(shuffle_seed=shuffle).run(Stage(world).play)
    check(stage)
    check_line(stage)


@PATIENT
@effort(30)
@given(world=worlds(), shuffle=st.integers(0, 999))
def test_the_same_seed_tells_the_same_story(world: World, shuffle: int) -> None:
    """Case 90: run twice, a world gives the same choices, news, logs and metrics."""
    world = replace(world, natively=True)  # the tasks of a scope are cancelled in any order
    clock = VirtualClock(shuffle_seed=shuffle)
    first, second = (clock.run(Stage(world).play) for _ in range(2))
    assert first.trail() == second.trail()
    assert not math.isnan(sum(caller.ended for caller in first.callers))


@PATIENT
@effort(30)
@given(world=worlds(asyncio_only=False))
def test_a_router_is_right_on_trio(world: World) -> None:
    """The same holds on trio."""
    check(VirtualClock(backend="trio").run(Stage(world).play))
