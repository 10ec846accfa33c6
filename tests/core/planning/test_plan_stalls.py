"""Attempts during which the event loop stalled: no failure, no latency, the provider stays."""

from __future__ import annotations

import pytest

from multirouter.core.planning.steps import WaitStep
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy, RetryPolicy
from multirouter.model import FailureKind, Verdict
from tests.core.kit import FIXED, World, calm, provider

TIMEOUT = Verdict(FailureKind.TIMEOUT, reason="attempt_timeout 5 s")


def test_a_stalled_timeout_changes_no_circuit_health_or_latency() -> None:
    """And a call with no other provider may attempt it again."""
    world = World([provider("a")], circuit=CircuitPolicy(failures=1), retry=RetryPolicy(base=1.0))
    plan, member = world.plan(), world.member("a")
    member.track_latency()
    assert member.latency_average is not None
    step = world.next_attempt(plan)
    step.stalled = True
    drift = member.latency.drift
    world.fail(plan, step, TIMEOUT, after=5.0)
    assert member.gate.circuit.is_closed
    assert (member.gate.circuit.window.failures, member.health.failures) == (0, 0)
    assert (member.latency.drift, member.latency_average.latency) == (drift, 0.0)
    assert isinstance(world.step(plan), WaitStep), "a later round may attempt it"
    world.pass_wait(plan)
    world.succeed(plan, world.next_attempt(plan))
    outcome = world.next_outcome(plan)
    assert [record.stalled for record in outcome.attempts] == [True, False]


def test_a_stalled_failure_that_the_provider_answered_with_counts() -> None:
    """A status 500 is an answer."""
    world = World([provider("a")], circuit=CircuitPolicy(failures=1))
    plan = world.plan()
    step = world.next_attempt(plan)
    step.stalled = True
    world.fail(plan, step, "server")
    assert not world.member("a").gate.circuit.is_closed


def test_a_stalled_answer_has_no_latency() -> None:
    """It is a success that no rule about slow answers judges."""
    policy = CircuitPolicy(slow_after=1.0, slow_rate=0.1, minimum_calls=1)
    world = World([provider("a"), provider("b")], circuit=policy)
    plan, member = world.plan(["a"]), world.member("a", ["a"])
    step = world.next_attempt(plan)
    step.stalled = True
    world.now += 50.0
    world.succeed(plan, step)
    outcome = world.next_outcome(plan)
    assert outcome.attempts[0].stalled
    assert member.latency.latencies.samples == 0
    assert member.gate.circuit.is_closed
    assert member.gate.circuit.window.calls == 1


def test_the_first_content_of_a_stream_during_a_stall_has_no_latency() -> None:
    """The rest of the stream is not excused by it."""
    world = World([provider("a")], circuit=CircuitPolicy(failures=1))
    plan, member = world.plan(), world.member("a")
    step = world.next_attempt(plan)
    step.stalled = True
    world.now += 50.0
    assert plan.begin_serving(step, world.now)
    assert (step.slow, step.stalled, member.latency.latencies.samples) == (None, False, 0)
    world.fail(plan, step, "interrupted")
    assert plan.attempts[0].stalled
    assert not member.gate.circuit.is_closed


def test_a_waiting_call_gets_time_back() -> None:
    """What was left of `wait=` when the loop stalled is left afterwards."""
    world = calm("a", limits=LimitPolicy(in_flight=1))
    first = world.plan()
    world.next_attempt(first)
    waiting = world.plan(wait=2.0)
    assert world.next_wait(waiting).until == world.now + 2.0
    world.now += 10.0
    waiting.give_back(9.5)
    assert world.next_wait(waiting).until == pytest.approx(world.now + 1.5)


def test_a_trial_gets_time_back() -> None:
    """Its lease ends later, so no second trial begins."""
    world = World([provider("a")], circuit=FIXED)
    world.half_open("a")
    gate = world.member("a").gate
    permit = gate.circuit.acquire(world.now, 5.0)
    assert permit is not None
    gate.circuit.trials.shift(10.0)
    assert not gate.circuit.admits(world.now + 14.0)
    assert gate.circuit.admits(world.now + 15.0)
