"""Gate of one provider: which attempts it admits, and why it rejects others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from multirouter.core.circuit.model_circuits import ModelPermit
from multirouter.core.circuit.states import CircuitState
from multirouter.core.health.degraded import HealthWindow
from multirouter.core.health.latency_tracker import LatencyTracker
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.tier_tables import Tier
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import (
    CircuitPolicy,
    HealthPolicy,
    LatencyPolicy,
    LimitPolicy,
)
from multirouter.core.settings.provider import Provider
from tests.core.circuit_bench import ARTICLE, LEASE
from tests.core.gate_bench import RATE_LIMITED, SERVER_ERROR, GateBench, half_open
from tests.core.kit import unpriced

# ── admission ─────────────────────────────────────────────────────────────────────────────────────


def test_a_new_gate_admits_every_attempt() -> None:
    """It is selectable, and attempts in flight are counted."""
    bench = GateBench()
    gate = bench.gate
    assert gate.rejection(0.0) == ""
    assert gate.admits(0.0)
    assert gate.selectable(0.0)
    assert not gate.half_open(0.0)
    assert gate.changes_at(0.0) == math.inf
    assert gate.ready_in(0.0) == 0.0
    permits = [bench.acquire(0.0) for _ in range(5)]
    assert gate.in_flight == 5
    for permit in permits:
        gate.return_unused(permit)
    assert gate.in_flight == 0


def test_an_open_circuit_rejects_until_half_open() -> None:
    """Time alone makes it half-open, not selectable."""
    bench = GateBench()
    bench.fail(0.0, 3)
    gate = bench.gate
    assert gate.rejection(59.9) == "open"
    assert gate.acquire(59.9, 0, LEASE) is None
    assert gate.changes_at(0.0) == gate.ready_in(0.0) == 60.0
    assert not gate.selectable(59.9)
    assert gate.rejection(60.0) == ""
    assert not gate.selectable(60.0)
    assert gate.half_open(60.0)
    assert gate.changes_at(60.0) == math.inf
    bench.acquire(60.0)
    assert gate.rejection(60.0) == "half_open, trial in flight"
    assert gate.ready_in(60.0) is None, "the trial's end decides, not its lease"
    assert gate.earliest_in(60.0) == 0.0
    assert gate.half_open(60.0)


def test_reading_takes_no_permit() -> None:
    """Case 17: after a hundred rounds of every query the one trial is still available."""
    bench = half_open()
    gate = bench.gate
    queries: list[Callable[[float], Any]] = [
        gate.rejection,
        gate.admits,
        gate.selectable,
        gate.half_open,
        gate.changes_at,
        gate.ready_in,
        gate.describe,
        gate.unhealthy,
    ]
    for _ in range(100):
        for query in queries:
            query(60.0)
    assert gate.in_flight == 0
    assert bench.acquire(60.0).trial
    assert gate.acquire(60.0, 0, LEASE) is None


def test_half_open_admits_one_trial() -> None:
    """Case 11: of 50 attempts at once exactly one is admitted, and the others are not counted."""
    bench = half_open()
    permits = [bench.gate.acquire(60.0, 0, LEASE) for _ in range(50)]
    assert sum(permit is not None for permit in permits) == 1
    assert bench.gate.in_flight == 1


@pytest.mark.parametrize("effect", [CircuitEffect.NEUTRAL, CircuitEffect.COOLDOWN])
def test_a_neutral_trial_admits_another(effect: CircuitEffect) -> None:
    """Cases 12 and 13: after a cancelled, neutral or rate-limited trial it stays half-open."""
    bench = half_open()
    late = bench.end(bench.acquire(60.0), RATE_LIMITED, effect, 61.0)
    assert not late
    assert bench.state(61.0) is CircuitState.HALF_OPEN
    free_at = max(61.0, bench.gate.cooldown_until)
    assert bench.acquire(free_at).trial


def test_a_trial_rejected_by_a_limit_leaves_no_trace() -> None:
    """Case 18: at its limit a provider gets no trial; an unused permit frees the trial."""
    bench = half_open(limits=LimitPolicy(in_flight=1))
    bench.gate._limits.acquire(0, 60.0)
    assert bench.gate.acquire(60.0, 0, LEASE) is None
    assert bench.gate.circuit.trials.permits == []
    bench.gate._limits.release()
    bench.gate.return_unused(bench.acquire(60.0))
    assert bench.state(60.0) is CircuitState.HALF_OPEN
    assert bench.acquire(60.0).trial


def test_limits_are_checked_last_and_named() -> None:
    """An open circuit is named before a limit."""
    bench = GateBench(limits=LimitPolicy(in_flight=3, requests_per_minute=60, burst=0.1))
    permits = [bench.acquire(0.0) for _ in range(3)]
    assert bench.gate.rejection(0.0) == "at its limit (3 in flight)"
    assert bench.gate.ready_in(0.0) is None
    for permit in permits:
        bench.end(permit, SERVER_ERROR, CircuitEffect.FAILURE, 0.0)
    assert bench.gate.rejection(0.0) == "open"
    assert bench.gate.in_flight == 0
    assert bench.gate._limits.in_flight == 0


def test_ready_in_is_the_longest_wait() -> None:
    """Circuit, cooldown and rate limits must all admit: the longest of the three waits counts."""
    bench = GateBench(limits=LimitPolicy(requests_per_minute=1.0))
    bench.cool_down(0.0, retry_after=20.0)
    assert bench.gate.ready_in(0.0) == 60.0
    assert bench.gate.ready_in(50.0) == pytest.approx(10.0)
    bench.gate.circuit.restore_open(50.0, "shared", 100.0, 1)
    assert bench.gate.ready_in(50.0) == pytest.approx(100.0)
    assert bench.gate.changes_at(0.0) == 20.0
    assert bench.gate.changes_at(20.0) == 150.0


# ── configuration and time ────────────────────────────────────────────────────────────────────────


def test_limits_can_change_while_attempts_are_in_flight() -> None:
    """Attempts in flight are counted by whatever limits there are when they end."""
    bench = GateBench()
    permits = [bench.acquire(0.0) for _ in range(3)]
    for limits, reached in ((2, True), (3, True), (4, False)):
        bench.gate.apply(ARTICLE, LimitPolicy(in_flight=limits))
        assert bool(bench.gate.rejection(0.0)) is reached
    bench.gate.return_unused(permits.pop())
    assert bench.gate._limits.in_flight == 2
    bench.gate.apply(ARTICLE, None)
    bench.gate.return_unused(permits.pop())
    assert bench.gate.rejection(0.0) == ""
    bench.gate.apply(ARTICLE, LimitPolicy(in_flight=1))
    assert bench.gate.rejection(0.0) == "at its limit (1 in flight)"
    bench.gate.return_unused(permits.pop())
    assert bench.gate.rejection(0.0) == ""
    assert bench.gate.in_flight == bench.gate._limits.in_flight == 0


def test_new_policies_keep_circuit_and_cooldown() -> None:
    """An open circuit stays open and a cooldown goes on; a hold stays, too."""
    bench = GateBench()
    bench.cool_down(0.0, retry_after=100.0)
    bench.gate.apply(CircuitPolicy(failures=1), None)
    assert bench.gate.rejection(50.0) == "cooling down"
    bench.set_hold("open")
    bench.gate.apply(ARTICLE, None)
    assert bench.gate.rejection(500.0) == "held open"
    assert bench.gate.acquire(500.0, 0, LEASE) is None


def test_shift_keeps_remaining_durations() -> None:
    """Shifted, what is left of cooldown, open duration and rate limits stays."""
    bench = GateBench(limits=LimitPolicy(requests_per_minute=1))
    bench.cool_down(100.0, retry_after=7.0)
    bench.gate.shift(-100.0)
    assert bench.gate.rejection(6.9) == "cooling down"
    assert bench.gate.rejection(7.0) == "requests_per_minute used up"
    assert bench.gate.rejection(60.0) == ""
    bench = GateBench()
    bench.fail(100.0, 3)
    bench.gate.shift(-100.0)
    assert bench.gate.rejection(59.9) == "open"
    assert bench.gate.rejection(60.0) == ""


# ── text ──────────────────────────────────────────────────────────────────────────────────────────


def test_describe() -> None:
    """Closed, open, half-open, cooling down, at its limit and held, each with reason and end."""
    bench = GateBench(limits=LimitPolicy(in_flight=4))
    gate = bench.gate
    assert gate.describe(0.0) == "closed"
    permits = [bench.acquire(0.0) for _ in range(4)]
    assert gate.describe(0.0) == "at its limit (4 in flight)"
    assert repr(gate).startswith("<Gate a in_flight=4 <Circuit closed")
    for permit in permits[1:]:
        bench.end(permit, SERVER_ERROR, CircuitEffect.FAILURE, 0.0)
    gate.return_unused(permits[0])
    assert gate.describe(10.0) == "open (failures; last failure: status 500), half-open in 50.0 s"
    assert gate.describe(60.0) == "half_open"
    bench.acquire(60.0)
    assert gate.describe(60.0) == "half_open, trial in flight"
    bench.set_hold("disabled")
    assert gate.describe(60.0) == "held disabled, half_open"
    assert repr(gate).startswith("<Gate a in_flight=1 held=disabled ")
    bench = GateBench()
    bench.cool_down(0.0)
    assert bench.gate.describe(1.0) == "cooling down for 4.0 s (status 429)"


# ── weight after a recovery ───────────────────────────────────────────────────────────────────────


def member(bench: GateBench, name: str) -> Candidate:
    """A provider of weight 1 behind a bench's gate."""

    async def call(request: object) -> None: ...

    latency, health = LatencyTracker(LatencyPolicy()), HealthWindow(HealthPolicy(), bench.revision)
    return Candidate(
        Provider(name, call),
        bench.gate,
        latency,
        health,
        pricing=unpriced(name),
        weight=1.0,
        timeout=30.0,
    )


def test_a_recovered_provider_ramps_up() -> None:
    """Case 22: its weight grows from a tenth to the whole over `ramp`, and stays there."""
    policy = CircuitPolicy(failures=3, open_duration=60, growth=1, ramp=100.0)
    bench, other = GateBench(policy), GateBench()
    tier = Tier([member(bench, "a"), member(other, "b")], bench.revision)
    recovered = tier.members[0]
    bench.fail(0.0, 3)
    assert tier.table(30.0).share(recovered) == 0.0
    bench.succeed(60.0)
    weights = []
    for now in (60.0, 70.0, 110.0, 160.0, 1000.0):
        share = tier.table(now).share(recovered)
        weights.append(round(share / (1 - share), 3))
    assert weights == [0.1, 0.1, 0.5, 1.0, 1.0]


def test_model_permit_of_a_gate_without_model_circuits() -> None:
    """A permit of a model is returned without effect when no model has a circuit of its own."""
    bench = GateBench()
    bench.gate.release_model(ModelPermit("m", None))
    assert bench.gate.in_flight == 0
