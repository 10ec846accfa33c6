"""One provider's door: who is let in, and who is refused and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from multirouter.core.circuit.states import CircuitState
from multirouter.core.health.adaptive_timeout import LatencyTracker
from multirouter.core.health.degraded import HealthWindow
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.tier_tables import Tier
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy, LatencyPolicy, LimitPolicy
from multirouter.core.settings.provider import Provider
from tests.core.candidates import ARTICLE, LEASE
from tests.core.gates import BROKEN, TOO_MANY, Door, half_open

# ── who is let in ───────────────────────────────────────────────────────────────────────────────


def test_a_fresh_door_is_open_to_all() -> None:
    """Nobody is refused, it takes part in the draw, and who entered is counted."""
    door = Door()
    gate = door.gate
    assert gate.refuses(0.0) == ""
    assert gate.admits(0.0)
    assert gate.closed(0.0)
    assert not gate.on_trial(0.0)
    assert gate.changes_at(0.0) == math.inf
    assert gate.ready_in(0.0) == 0.0
    permits = [door.enter(0.0) for _ in range(5)]
    assert gate.in_flight == 5
    for permit in permits:
        gate.give_back(permit)
    assert gate.in_flight == 0


def test_an_open_circuit_refuses_until_its_time() -> None:
    """While open nobody enters; time alone puts it on trial, not back into the draw."""
    door = Door()
    door.fail(0.0, 3)
    gate = door.gate
    assert gate.refuses(59.9) == "open"
    assert gate.acquire(59.9, 0, LEASE) is None
    assert gate.changes_at(0.0) == gate.ready_in(0.0) == 60.0
    assert not gate.closed(59.9)
    assert gate.refuses(60.0) == ""
    assert not gate.closed(60.0)
    assert gate.on_trial(60.0)
    assert gate.changes_at(60.0) == math.inf
    door.enter(60.0)
    assert gate.refuses(60.0) == "half_open, trial out"
    assert gate.ready_in(60.0) == LEASE
    assert gate.ready_in(61.0) == LEASE - 1.0
    assert gate.on_trial(60.0)


def test_listing_and_reading_take_no_permit() -> None:
    """Case 17: a hundred rounds of every question, and the one trial is still to be had."""
    door = half_open()
    gate = door.gate
    questions: list[Callable[[float], Any]] = [
        gate.refuses,
        gate.admits,
        gate.closed,
        gate.on_trial,
        gate.changes_at,
        gate.ready_in,
        gate.describe,
        gate.ill,
    ]
    for _ in range(100):
        for ask in questions:
            ask(60.0)
    assert gate.in_flight == 0
    assert door.enter(60.0).trial
    assert gate.acquire(60.0, 0, LEASE) is None


def test_a_crowd_at_a_half_open_door() -> None:
    """Case 11: of 50 that ask at once exactly one enters, and the others are not counted."""
    door = half_open()
    permits = [door.gate.acquire(60.0, 0, LEASE) for _ in range(50)]
    assert sum(permit is not None for permit in permits) == 1
    assert door.gate.in_flight == 1


@pytest.mark.parametrize("effect", [CircuitEffect.NEUTRAL, CircuitEffect.COOL])
def test_a_trial_that_proved_nothing_makes_room_for_the_next(effect: CircuitEffect) -> None:
    """Cases 12 and 13: after a cancelled, neutral or cooled trial it is half-open, place free."""
    door = half_open()
    late = door.end(door.enter(60.0), TOO_MANY, effect, 61.0)
    assert not late
    assert door.state(61.0) is CircuitState.HALF_OPEN
    rested = max(61.0, door.gate.cooldown_until)
    assert door.enter(rested).trial


def test_a_trial_refused_by_a_limit_leaves_no_trace() -> None:
    """Case 18: a full door takes no trial; a permit given back unused frees the trial."""
    door = half_open(limits=LimitPolicy(in_flight=1))
    door.gate._limits.take(0, 60.0)
    assert door.gate.acquire(60.0, 0, LEASE) is None
    assert door.gate.circuit._trials == []
    door.gate._limits.leave()
    door.gate.give_back(door.enter(60.0))
    assert door.state(60.0) is CircuitState.HALF_OPEN
    assert door.enter(60.0).trial


def test_limits_are_asked_last_and_name_themselves() -> None:
    """A limit refuses in words; an open circuit is named before it."""
    door = Door(limits=LimitPolicy(in_flight=3, requests_per_minute=60, burst=0.1))
    permits = [door.enter(0.0) for _ in range(3)]
    assert door.gate.refuses(0.0) == "full (3 in flight)"
    assert door.gate.ready_in(0.0) is None
    for permit in permits:
        door.end(permit, BROKEN, CircuitEffect.FAILURE, 0.0)
    assert door.gate.refuses(0.0) == "open"
    assert door.gate.in_flight == 0
    assert door.gate._limits.in_flight == 0


def test_the_longest_wait_counts() -> None:
    """Ready is whoever's circuit, cooling and rates all are: the longest of the three."""
    door = Door(limits=LimitPolicy(requests_per_minute=1.0))
    door.cool(0.0, retry_after=20.0)
    assert door.gate.ready_in(0.0) == 60.0
    assert door.gate.ready_in(50.0) == pytest.approx(10.0)
    door.gate.circuit.restore_open(50.0, "shared", 100.0, 1)
    assert door.gate.ready_in(50.0) == pytest.approx(100.0)
    assert door.gate.changes_at(0.0) == 20.0
    assert door.gate.changes_at(20.0) == 150.0


# ── configuration and time ──────────────────────────────────────────────────────────────────────


def test_limits_come_and_go_while_attempts_are_under_way() -> None:
    """Whoever entered is counted by whatever limits there are when he leaves."""
    door = Door()
    permits = [door.enter(0.0) for _ in range(3)]
    for limits, most in ((2, True), (3, True), (4, False)):
        door.gate.adopt(ARTICLE, LimitPolicy(in_flight=limits))
        assert bool(door.gate.refuses(0.0)) is most
    door.gate.give_back(permits.pop())
    assert door.gate._limits.in_flight == 2
    door.gate.adopt(ARTICLE, None)
    door.gate.give_back(permits.pop())
    assert door.gate.refuses(0.0) == ""
    door.gate.adopt(ARTICLE, LimitPolicy(in_flight=1))
    assert door.gate.refuses(0.0) == "full (1 in flight)"
    door.gate.give_back(permits.pop())
    assert door.gate.refuses(0.0) == ""
    assert door.gate.in_flight == door.gate._limits.in_flight == 0


def test_new_policies_keep_circuit_and_cooling() -> None:
    """Adopting leaves what is open open and what cools cooling; the hold stays too."""
    door = Door()
    door.cool(0.0, retry_after=100.0)
    door.gate.adopt(CircuitPolicy(failures=1), None)
    assert door.gate.refuses(50.0) == "cooling down"
    door.hold("open")
    door.gate.adopt(ARTICLE, None)
    assert door.gate.refuses(500.0) == "held open"
    assert door.gate.acquire(500.0, 0, LEASE) is None


def test_another_loops_clock_leaves_what_is_left() -> None:
    """Shifted, what is left of cooling, open time and rates stays; hold on to no old instant."""
    door = Door(limits=LimitPolicy(requests_per_minute=1))
    door.cool(100.0, retry_after=7.0)
    door.gate.shift(-100.0)
    assert door.gate.refuses(6.9) == "cooling down"
    assert door.gate.refuses(7.0) == "requests_per_minute used up"
    assert door.gate.refuses(60.0) == ""
    door = Door()
    door.fail(100.0, 3)
    door.gate.shift(-100.0)
    assert door.gate.refuses(59.9) == "open"
    assert door.gate.refuses(60.0) == ""


# ── words ───────────────────────────────────────────────────────────────────────────────────────


def test_a_door_tells_its_state_in_words() -> None:
    """Closed, open, trying, cooling, full and held, each with why and until when."""
    door = Door(limits=LimitPolicy(in_flight=4))
    gate = door.gate
    assert gate.describe(0.0) == "closed"
    permits = [door.enter(0.0) for _ in range(4)]
    assert gate.describe(0.0) == "full (4 in flight)"
    assert repr(gate).startswith("<Gate a in_flight=4 <Circuit closed")
    for permit in permits[1:]:
        door.end(permit, BROKEN, CircuitEffect.FAILURE, 0.0)
    gate.give_back(permits[0])
    assert gate.describe(10.0) == "open (failures, last status 500), resets in 50.0 s"
    assert gate.describe(60.0) == "half_open"
    door.enter(60.0)
    assert gate.describe(60.0) == "half_open, trial out"
    door.hold("disabled")
    assert gate.describe(60.0) == "held disabled, half_open"
    assert repr(gate).startswith("<Gate a in_flight=1 held=disabled ")
    door = Door()
    door.cool(0.0)
    assert door.gate.describe(1.0) == "cooling down for 4.0 s (status 429)"


# ── the weight after a recovery ─────────────────────────────────────────────────────────────────


def member(door: Door, name: str) -> Candidate:
    """A provider of weight 1 behind a door."""

    async def call(request: object) -> None: ...

    latency, health = LatencyTracker(LatencyPolicy()), HealthWindow(door.revision)
    return Candidate(Provider(name, call), door.gate, latency, health, weight=1.0, timeout=30.0)


def test_a_recovered_provider_ramps_up() -> None:
    """Case 22: its weight grows from a tenth to all of it over `ramp`, and stays there."""
    policy = CircuitPolicy(failures=3, open_duration=60, growth=1, ramp=100.0)
    door, other = Door(policy), Door()
    tier = Tier([member(door, "a"), member(other, "b")], door.revision)
    mine = tier.members[0]
    door.fail(0.0, 3)
    assert tier.table(30.0).share(mine) == 0.0
    door.pass_(60.0)
    weights = []
    for now in (60.0, 70.0, 110.0, 160.0, 1000.0):
        share = tier.table(now).share(mine)
        weights.append(round(share / (1 - share), 3))
    assert weights == [0.1, 0.1, 0.5, 1.0, 1.0]
