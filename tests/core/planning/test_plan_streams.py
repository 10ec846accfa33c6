"""Plan of a stream: first content, trials, interruption, continuation."""

from __future__ import annotations

import math

import pytest

from multirouter.core.circuit.trial_lease import LEASE_MARGIN
from multirouter.core.events import StreamContinued
from multirouter.core.health.latency_tracker import LatencyTracker
from multirouter.core.planning.steps import ServeStep
from multirouter.core.planning.stream_plan import PROVEN_AFTER, trial_lease
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, HedgePolicy, LatencyPolicy
from tests.core.kit import NEVER_TRIPS, World, failing, provider


def chain(*names: str) -> World:
    """Providers in a fixed order whose circuits never trip."""
    route = Route("chain", list(names), hedge=HedgePolicy(after=1.0))
    return World([provider(n) for n in names], [route], circuit=NEVER_TRIPS, timeout=20.0)


def test_first_content_decides() -> None:
    """The attempt with the first content serves and keeps its permit; another came too late."""
    world = chain("a", "b")
    plan = world.plan("chain")
    slow = world.next_attempt(plan)
    hedge = plan.hedge(slow, world.now)
    assert hedge is not None
    world.now += 2.0
    assert plan.begin_serving(hedge, world.now)
    assert plan.decided
    assert not plan.begin_serving(slow, world.now)
    step = world.step(plan)
    assert isinstance(step, ServeStep)
    assert step.attempt is hedge
    world.cancel(plan, slow)
    assert world.in_flight() == {"a": 0, "b": 1}
    world.now += 5.0
    world.succeed(plan, hedge, None)
    outcome = world.next_outcome(plan)
    assert (outcome.provider, outcome.elapsed) == ("b", 7.0)
    assert (outcome.attempts[-1].first_content, outcome.attempts[-1].elapsed) == (2.0, 7.0)
    assert outcome.attempts[0].first_content is None


def test_latency_is_measured_to_the_first_content() -> None:
    """The latency tracker gets the time to the first content, not the stream's duration."""
    world = chain("a")
    for cut in (False, True):
        plan = world.plan("chain")
        step = world.next_attempt(plan)
        world.now += 2.0
        plan.begin_serving(step, world.now)
        if cut:
            world.fail(plan, step, "timeout", after=3.0)
        else:
            world.succeed(plan, step, None, after=3.0)
    latencies = world.member("a", "chain").latency.latencies
    assert latencies.samples == 2.0
    assert latencies.percentile(0.99) == pytest.approx(2.0, rel=0.1)


def test_only_timeouts_before_content_are_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an attempt cut off before its content is a timeout sample."""
    learnt: list[float] = []
    monkeypatch.setattr(
        LatencyTracker, "record_timeout", lambda self, seconds, **_: learnt.append(seconds)
    )
    world = chain("a")
    for served in (False, True):
        for kind in ("server", "timeout"):
            plan = world.plan("chain")
            step = world.next_attempt(plan)
            if served:
                plan.begin_serving(step, world.now)
            world.fail(plan, step, kind, after=3.0)
    assert learnt == [3.0]


@pytest.mark.parametrize("alone", [False, True])
def test_slow_first_content_counts_at_the_end(alone: bool) -> None:
    """A slow first content opens the circuit at the end, unless no other provider exists."""
    latency = LatencyPolicy(minimum_samples=5, slow_factor=2.0, slow_deviations=0.0, adaptive=False)
    world = World([provider("a"), provider("b")], latency=latency)
    route = ["a"] if alone else ["a", "b"]
    slow = False
    for seconds in [1.0] * 20 + [60.0] * 5:
        plan = world.plan(route, timeout=900.0)
        step = world.next_attempt(plan)
        if step.member.name == "b":
            break
        plan.begin_serving(step, world.now + seconds)
        assert world.states.gates["a"].circuit.is_closed
        world.succeed(plan, step, None, after=seconds)
        world.next_outcome(plan)
        slow = slow or step.slow
    assert slow
    assert world.recorder.transitions("a") == ([] if alone else ["closed > open"])


def test_interrupted_stream_continues_elsewhere() -> None:
    """The search gets the whole timeout again, and no provider is attempted twice."""
    world = chain("a", "b")
    plan = world.plan("chain")
    step = world.next_attempt(plan)
    plan.begin_serving(step, world.now)
    world.fail(plan, step, "interrupted", after=30.0)
    plan.begin_continuation(world.now)
    assert not plan.decided
    other = world.next_attempt(plan)
    assert (other.member.name, plan.deadline) == ("b", world.now + 20.0)
    assert other.why == "failover from a (interrupted); only candidate"
    plan.begin_serving(other, world.now)
    world.succeed(plan, other, None)
    assert world.next_outcome(plan).provider == "b"


def test_continuation_failure_is_not_the_requests_fault() -> None:
    """After delivered content, a request failure is one failure among all."""
    world = chain("a", "b")
    plan = world.plan("chain")
    step = world.next_attempt(plan)
    plan.begin_serving(step, world.now)
    world.fail(plan, step, failing("interrupted", retried=True))
    plan.begin_continuation(world.now)
    error = world.fail(plan, world.next_attempt(plan), "request")
    assert not plan.decided
    outcome = world.next_outcome(plan)
    assert outcome.error is not error
    assert [str(record.verdict.kind) for record in outcome.attempts] == ["interrupted", "request"]


def test_streaming_trial_renews_its_lease_and_passes() -> None:
    """A half-open provider's stream renews its lease and passes after `PROVEN_AFTER`."""
    world = World([provider("a")], circuit=CircuitPolicy(failures=1, growth=1, open_duration=5.0))
    world.half_open("a")
    plan = world.plan()
    step = world.next_attempt(plan)
    circuit = world.states.gates["a"].circuit
    plan.renew_trial_lease(step, world.now, 4.0)
    assert step.permit.lease_until == world.now + 4.0
    plan.begin_serving(step, world.now)
    served = world.now
    while world.now < served + PROVEN_AFTER:
        assert not circuit.is_closed
        plan.renew_trial_lease(step, world.now, 4.0)
        assert not circuit.admits(world.now + 3.9)
        world.now += 2.5
    plan.renew_trial_lease(step, world.now, 4.0)
    assert circuit.is_closed
    assert world.recorder.transitions("a")[-1] == "half_open > closed"
    world.fail(plan, step, "interrupted")
    assert world.recorder.transitions("a")[-1] == "closed > open"
    assert not plan.attempts[-1].late


def test_a_stream_that_delivers_passes_its_trial() -> None:
    """After a while of content; until then its lease is renewed, and others may join."""
    world = World([provider("a")], circuit=CircuitPolicy(failures=1))
    world.half_open("a")
    plan = world.plan()
    step = world.next_attempt(plan)
    assert not step.permit.delivering
    assert plan.begin_serving(step, world.now)
    assert step.permit.delivering
    assert not plan.renew_trial_lease(step, world.now + PROVEN_AFTER - 0.1, 7.0)
    assert step.permit.lease_until == world.now + PROVEN_AFTER - 0.1 + 7.0
    assert not plan.renew_trial_lease(step, world.now + PROVEN_AFTER, 7.0, lost=0.1)
    assert plan.renew_trial_lease(step, world.now + PROVEN_AFTER, 7.0)
    assert world.states.gates["a"].circuit.is_closed


@pytest.mark.parametrize(("idle", "seconds"), [(7.0, 7.0), (math.inf, 33.0)])
def test_the_lease_of_a_streaming_trial(idle: float, seconds: float) -> None:
    """From one chunk to the next, as long as the provider may be idle."""
    circuit = CircuitPolicy(failures=1, open_duration=33.0)
    world = World([provider("a", idle=idle)], circuit=circuit)
    step = world.next_attempt(world.plan())
    assert trial_lease(step) == seconds + LEASE_MARGIN


def test_a_continued_stream_is_reported() -> None:
    """The trail of the attempt and the event say where it went on, and after how much."""
    world = chain("a", "b")
    plan = world.plan("chain")
    first = world.next_attempt(plan)
    plan.begin_serving(first, world.now)
    world.fail(plan, first, "interrupted")
    plan.begin_continuation(world.now)
    second = world.next_attempt(plan)
    plan.stream_continued(second, "a", "prefill", 3)
    assert second.why.endswith("; continued by prefill after 3 chunks from a")
    events = world.recorder.of("stream_continued")
    assert events == [StreamContinued("tested", "chain", "a", "b", "prefill", 3)]
