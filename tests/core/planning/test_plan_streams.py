"""A plan whose answer comes in pieces: serving, flowing, breaking, going on elsewhere."""

from __future__ import annotations

import pytest

from multirouter.core.health.adaptive_timeout import LatencyTracker
from multirouter.core.planning.steps import ServeStep
from multirouter.core.planning.stream_plan import FLOW_PROVES
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, HedgePolicy, LatencyPolicy
from tests.core.kit import NEVER_TRIPS, World, failing, provider


def chain(*names: str) -> World:
    """Providers in a fixed order whose circuits never trip."""
    route = Route("chain", list(names), hedge=HedgePolicy(after=1.0))
    return World([provider(n) for n in names], [route], circuit=NEVER_TRIPS, timeout=20.0)


def test_the_first_content_decides() -> None:
    """From its first content on a stream serves, its permit kept; another attempt came too late."""
    world = chain("a", "b")
    plan = world.plan("chain")
    slow = world.trying(plan)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    world.now += 2.0
    assert plan.serving(hedge, world.now)
    assert plan.decided
    assert not plan.serving(slow, world.now)
    step = world.step(plan)
    assert isinstance(step, ServeStep)
    assert step.attempt is hedge
    world.cancelled(plan, slow)
    assert world.in_flight() == {"a": 0, "b": 1}
    world.now += 5.0
    world.answers(plan, hedge, None)
    outcome = world.ended(plan)
    assert (outcome.provider, outcome.elapsed) == ("b", 7.0)
    assert (outcome.attempts[-1].first_content, outcome.attempts[-1].elapsed) == (2.0, 7.0)
    assert outcome.attempts[0].first_content is None


def test_only_the_first_content_is_pace() -> None:
    """A provider's pace learns how long the first content took, never how long the stream was."""
    world = chain("a")
    for cut in (False, True):
        plan = world.plan("chain")
        step = world.trying(plan)
        world.now += 2.0
        plan.serving(step, world.now)
        if cut:
            world.fails(plan, step, "timeout", after=3.0)
        else:
            world.answers(plan, step, None, after=3.0)
    latencies = world.member("a", "chain").latency.latencies
    assert latencies.samples == 2.0
    assert latencies.percentile(0.99) == pytest.approx(2.0, rel=0.1)


def test_only_timeouts_before_the_content_are_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pace learns from an attempt that was cut off before its content, and from no other."""
    learnt: list[float] = []
    monkeypatch.setattr(
        LatencyTracker, "timed_out", lambda self, seconds, **_: learnt.append(seconds)
    )
    world = chain("a")
    for served in (False, True):
        for kind in ("server", "timeout"):
            plan = world.plan("chain")
            step = world.trying(plan)
            if served:
                plan.serving(step, world.now)
            world.fails(plan, step, kind, after=3.0)
    assert learnt == [3.0]


@pytest.mark.parametrize("alone", [False, True])
def test_a_slow_first_content_counts_at_the_end(alone: bool) -> None:
    """A slow first content opens the circuit at the end, unless nobody else is there."""
    latency = LatencyPolicy(minimum_samples=5, slow_factor=2.0, slow_deviations=0.0, adaptive=False)
    world = World([provider("a"), provider("b")], latency=latency)
    route = ["a"] if alone else ["a", "b"]
    slow = False
    for seconds in [1.0] * 20 + [60.0] * 5:
        plan = world.plan(route, timeout=900.0)
        step = world.trying(plan)
        if step.member.name == "b":
            break
        plan.serving(step, world.now + seconds)
        assert world.memory.gates["a"].circuit.is_closed
        world.answers(plan, step, None, after=seconds)
        world.ended(plan)
        slow = slow or step.slow
    assert slow
    assert world.heard.transitions("a") == ([] if alone else ["closed > open"])


def test_a_broken_stream_goes_on_elsewhere() -> None:
    """After a break the search has the whole timeout again, and nobody is asked twice."""
    world = chain("a", "b")
    plan = world.plan("chain")
    step = world.trying(plan)
    plan.serving(step, world.now)
    world.fails(plan, step, "interrupted", after=30.0)
    plan.broken(world.now)
    assert not plan.decided
    other = world.trying(plan)
    assert (other.member.name, plan.deadline) == ("b", world.now + 20.0)
    assert other.why == "failover from a (interrupted); only one"
    plan.serving(other, world.now)
    world.answers(plan, other, None)
    assert world.ended(plan).provider == "b"


def test_after_a_break_no_failure_is_the_requests_fault() -> None:
    """What was delivered cannot be taken back: a refusal of the rest is one failure among all."""
    world = chain("a", "b")
    plan = world.plan("chain")
    step = world.trying(plan)
    plan.serving(step, world.now)
    world.fails(plan, step, failing("interrupted", retried=True))
    plan.broken(world.now)
    error = world.fails(plan, world.trying(plan), "request")
    assert not plan.decided
    outcome = world.ended(plan)
    assert outcome.error is not error
    assert [str(record.verdict.kind) for record in outcome.attempts] == ["interrupted", "request"]


def test_a_flowing_trial_keeps_its_lease_and_passes() -> None:
    """A half-open provider's stream is no lost trial while it flows, and proves it well in time."""
    world = World([provider("a")], circuit=CircuitPolicy(failures=1, growth=1, open_duration=5.0))
    world.half_open("a")
    plan = world.plan()
    step = world.trying(plan)
    circuit = world.memory.gates["a"].circuit
    plan.flowing(step, world.now, 4.0)
    assert step.permit.lease_until == world.now + 4.0
    plan.serving(step, world.now)
    served = world.now
    while world.now < served + FLOW_PROVES:
        assert not circuit.is_closed
        plan.flowing(step, world.now, 4.0)
        assert not circuit.admits(world.now + 3.9)
        world.now += 2.5
    plan.flowing(step, world.now, 4.0)
    assert circuit.is_closed
    assert world.heard.transitions("a")[-1] == "half_open > closed"
    world.fails(plan, step, "interrupted")
    assert world.heard.transitions("a")[-1] == "closed > open"
    assert not plan.attempts[-1].late
