"""Edge cases of a plan: records, latency samples, attempts cut off early."""

from __future__ import annotations

from typing import Any, ClassVar

from multirouter.core.health.latency_tracker import LatencyTracker
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import CircuitPolicy, RetryPolicy
from multirouter.model import FailureKind
from tests.core.kit import NEVER_TRIPS, World, failing, provider

FIXED = CircuitPolicy(failures=1, growth=1, open_duration=5.0)


class SpyLatency(LatencyTracker):
    """Latency tracker with a timeout of two seconds that records its samples."""

    __slots__ = ()
    limit = 2.0
    samples: ClassVar[list[tuple[Any, ...]]] = []

    def record(self, seconds: float, now: float, trial: bool = False) -> bool:
        self.samples.append(("answered", seconds, now, trial))
        return False

    def record_timeout(self, seconds: float, *now: float, trial: bool = False) -> None:
        self.samples.append(("timed out", seconds, *now, trial))


def world_with_spies(names: str, **settings: Any) -> World:
    """Providers whose latency trackers record their samples."""
    SpyLatency.samples.clear()
    world = World([provider(name) for name in names], **settings)
    for name in names:
        world.member(name).latency.__class__ = SpyLatency
    return world


def test_request_at_fault_ends_as_failure() -> None:
    """A failure caused by the request ends the call with the result failure."""
    world = World([provider("a")])
    plan = world.plan()
    error = world.fail(plan, world.next_attempt(plan), "request")
    outcome = world.next_outcome(plan)
    assert (outcome.result, outcome.error) == ("failure", error)


def test_backoff_does_not_queue() -> None:
    """Backoffs before a retry, before a round and after an early timer do not use the queue."""
    for retries in (0, 1):
        routes = [Route("r", ["a"], retries_per_provider=retries)]
        world = World([provider("a")], routes, circuit=NEVER_TRIPS)
        plan = world.plan("r")
        world.fail(plan, world.next_attempt(plan))
        assert world.next_wait(plan).for_capacity is False
        assert world.next_wait(plan).for_capacity is False


def test_record_of_an_old_generation_is_late() -> None:
    """An answer of an old generation is marked late; start times are loop times."""
    world = World([provider("a")], circuit=FIXED)
    plan = world.plan()
    step = world.next_attempt(plan)
    world.trip("a")
    world.succeed(plan, step, after=2.0)
    record, outcome = plan.attempts[0], world.next_outcome(plan)
    assert (record.late, record.started, record.elapsed) == (True, 100.0, 2.0)
    assert (outcome.started, outcome.elapsed, outcome.route) == (100.0, 2.0, "default")


def test_latency_records_answers_and_timeouts() -> None:
    """The latency tracker gets durations, and whether they were trials."""
    world = world_with_spies("a", circuit=FIXED)
    plan = world.plan()
    world.succeed(plan, world.next_attempt(plan), after=0.5)
    assert (SpyLatency.samples[0][:2], SpyLatency.samples[0][-1]) == (("answered", 0.5), False)
    world.half_open("a")
    plan = world.plan()
    world.fail(plan, world.next_attempt(plan), "timeout", after=2.0)
    assert (SpyLatency.samples[1][:2], SpyLatency.samples[1][-1]) == (("timed out", 2.0), True)
    world.now = world.states.gates["a"].circuit.half_open_at
    plan = world.plan()
    world.succeed(plan, world.next_attempt(plan), after=1.0)
    assert (SpyLatency.samples[2][:2], SpyLatency.samples[2][-1]) == (("answered", 1.0), True)


def test_slow_answer_counts_at_the_circuit() -> None:
    """An answer's duration is compared with the circuit's `slow_after`."""
    policy = CircuitPolicy(failures=9, slow_after=1.0, minimum_calls=1)
    world = World([provider("a")], circuit=policy)
    plan = world.plan()
    world.succeed(plan, world.next_attempt(plan), after=5.0)
    assert not world.states.gates["a"].circuit.is_closed


def test_adaptive_timeout_excludes_for_one_round() -> None:
    """The adaptive timeout excludes for a round, `attempt_timeout` for the call."""
    for limit, out in ((2.0, False), (30.0, True)):
        world = world_with_spies("ab", circuit=NEVER_TRIPS)
        plan = world.plan()
        first = world.next_attempt(plan)
        first.deadline = first.started + limit
        world.fail(plan, first, failing(FailureKind.TIMEOUT), after=limit)
        assert plan._retry_state is not None
        assert (first.member.name in plan._retry_state.excluded_for_call) == out


def test_a_healthy_provider_is_retried_before_a_half_open_one() -> None:
    """One error of a healthy provider does not send the call to one that may still hang."""
    policy = CircuitPolicy(failures=3, growth=1, open_duration=5.0)
    world = World([provider("a"), provider("b")], circuit=policy)
    world.half_open("b")
    plan = world.plan()
    step = world.next_attempt(plan)
    assert (step.member.name, [trial.member.name for trial in step.trials]) == ("a", ["b"])
    world.cancel(plan, step.trials[0])
    world.fail(plan, step, "server")
    world.pass_wait(plan)
    again = world.next_attempt(plan)
    assert (again.member.name, again.role) == ("a", "call")
    world.fail(plan, again, "server")
    assert world.next_attempt(plan).member.name == "b", "retried once, then the trial"


def test_a_half_open_provider_serves_when_there_is_no_time_or_budget_for_a_retry() -> None:
    """The last resort is used where the healthy provider cannot be retried."""
    policy = CircuitPolicy(failures=3, growth=1, open_duration=5.0)
    retry = RetryPolicy(cap=8.0)
    for timeout, expected in ((7.9, "b"), (9.0, "a")):
        world = World([provider("a"), provider("b")], circuit=policy, retry=retry)
        world.half_open("b")
        plan = world.plan(timeout=timeout)
        step = world.next_attempt(plan)
        world.cancel(plan, step.trials[0])
        world.fail(plan, step, "server")
        if expected == "a":
            world.pass_wait(plan)
        assert world.next_attempt(plan).member.name == expected
