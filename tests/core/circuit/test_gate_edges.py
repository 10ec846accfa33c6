"""Edge cases of a gate: request sizes, short durations, panic beside a trial, single events."""

from __future__ import annotations

import pytest

from multirouter.core.events import CircuitChanged, CooldownStarted
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.model import FailureKind, Verdict
from tests.core.circuit_bench import ARTICLE
from tests.core.gate_bench import BAD_REQUEST, RATE_LIMITED, GateBench, half_open

TOKENS = LimitPolicy(tokens_per_minute=60, size=len)
SLOW = CircuitPolicy(failures=9, slow_after=0.5, slow_rate=1.0, minimum_calls=1)


def test_a_requests_size_is_taken_from_the_limit() -> None:
    """After 50 of 60 tokens ten are left and more come with time; without a size none is needed."""
    bench = GateBench(limits=TOKENS)
    bench.acquire(0.0, size=50)
    assert bench.gate.admits(0.0, 10)
    assert not bench.gate.admits(0.0, 11)
    assert bench.gate.rejection(0.0, 11) == "tokens_per_minute used up"
    assert bench.gate.acquire(0.0, 11, 30.0) is None
    assert bench.gate.ready_in(0.0, 20) == 10.0
    bench.acquire(0.0, size=10)
    assert bench.gate.admits(0.0)
    assert bench.gate.rejection(0.0) == ""
    assert bench.gate.ready_in(0.0) == 0.0


def test_panic_ignores_a_trial_in_flight() -> None:
    """With limits as without, panic admits an attempt beside the trial, uncounted."""
    bench = half_open(limits=LimitPolicy(in_flight=9))
    assert bench.acquire(60.0).trial
    assert bench.gate.acquire(60.0, 0, 30.0) is None
    assert bench.acquire(60.0, panic=True).generation == -1


def test_slow_answer_trips_but_an_error_is_never_slow() -> None:
    """A slow answer trips where one is enough; an error that counts as success is never slow."""
    bench = GateBench(SLOW)
    bench.end(bench.acquire(0.0), BAD_REQUEST, CircuitEffect.SUCCESS, 0.0)
    assert bench.changes == []
    bench.gate.release_answered(bench.acquire(100.0), 109.0, 9.0)
    assert bench.changes == [("closed", "open", "slow")]


def test_a_cooldown_may_be_shorter_than_a_second() -> None:
    """A Retry-After of half a second is kept, and the event tells where it comes from."""
    bench = GateBench()
    assert bench.cool_down(0.0, 0.5) == 0.5
    assert [
        (event.seconds, event.from_retry_after) for event in bench.events_of(CooldownStarted)
    ] == [(0.5, True)]


def test_exhausted_duration_may_be_shorter_than_a_second() -> None:
    """Without Retry-After, the circuit opens for exactly `exhausted_duration`."""
    bench = GateBench(CircuitPolicy(failures=3, exhausted_duration=0.5))
    bench.end(bench.acquire(0.0), Verdict(FailureKind.CREDENTIALS), CircuitEffect.TRIP, 0.0)
    assert bench.gate.circuit.half_open_at == 0.5
    assert bench.gate.ready_in(0.0) == 0.5


def test_the_same_cooldown_is_reported_once() -> None:
    """Two 429s at one instant make one cooldown, one event and one revision."""
    bench = GateBench()
    bench.revision.value = 5
    for permit in [bench.acquire(0.0), bench.acquire(0.0)]:
        bench.end(permit, RATE_LIMITED, CircuitEffect.COOLDOWN, 0.0)
    assert len(bench.events_of(CooldownStarted)) == 1
    assert bench.revision.value == 6


def test_new_policies_leave_a_hold_in_force() -> None:
    """A disabled circuit stays uncounted after an update, and counts again when released."""
    bench = GateBench()
    bench.set_hold("disabled")
    bench.gate.apply(ARTICLE, None)
    assert bench.acquire(0.0).generation == -1
    bench.set_hold(None)
    bench.gate.apply(ARTICLE, None)
    assert bench.acquire(0.0).generation == 0


def test_transitions_are_reported_with_router_and_instant() -> None:
    """The event has router, provider and loop time."""
    bench = GateBench()
    bench.fail(7.0, 3)
    bench.gate.circuit.settle(70.0)
    reported = [
        (event.router, event.provider, event.at) for event in bench.events_of(CircuitChanged)
    ]
    assert reported == [("r", "a", 7.0), ("r", "a", 70.0)]


@pytest.mark.parametrize("limits", [None, LimitPolicy(in_flight=9), TOKENS])
def test_joining_a_trial_through_a_gate(limits: LimitPolicy | None) -> None:
    """After an interval a call may join the trial in flight, with limits as without."""
    bench = half_open(limits=limits)
    bench.acquire(60.0)
    assert bench.gate.trial_in_flight(60.0)
    for join, waits in ((False, True), (True, False)):
        permit = bench.gate.acquire(61.0, 0, 30.0, join=join)
        assert (permit is None) is waits
    assert bench.gate.recheck_in(61.5) == 0.5
    assert bench.gate.ready_in(61.5) is None
    assert bench.gate.earliest_in(61.5) == 0.0
    assert not GateBench().gate.trial_in_flight(60.0)


def test_joining_needs_a_place_in_the_limits() -> None:
    """The size of the request counts there."""
    bench = half_open(limits=TOKENS)
    bench.acquire(60.0, size=60)
    assert bench.gate.acquire(61.0, 30, 30.0, join=True) is None
    assert bench.gate.rejection(61.0, 30, join=True) == "tokens_per_minute used up"
    assert bench.gate.acquire(61.0, 1, 30.0, join=True) is not None


def test_waits_depend_on_the_size() -> None:
    """Without a size no token is needed."""
    bench = GateBench(limits=TOKENS)
    bench.acquire(0.0, size=60)
    assert [bench.gate.earliest_in(0.0, size) for size in (1, 20)] == [1.0, 20.0]
    assert [bench.gate.recheck_in(0.0, size) for size in (1, 20)] == [1.0, 20.0]
    assert bench.gate.describe(0.0, 20) == "tokens_per_minute used up"
    assert (bench.gate.earliest_in(0.0), bench.gate.recheck_in(0.0)) == (0.0, 0.0)
    assert bench.gate.describe(0.0) == "closed"


def test_an_open_circuit_is_earliest_at_its_half_opening() -> None:
    """Whatever ends meanwhile."""
    bench = GateBench()
    bench.fail(0.0, 3)
    assert bench.gate.earliest_in(20.0) == 40.0


def test_transitions_have_a_reason_and_a_generation() -> None:
    """Those of holds as well."""
    bench = GateBench()
    for hold in ("open", None, "closed", None):
        bench.set_hold(hold)
    changes = [(event.new, event.reason) for event in bench.events_of(CircuitChanged)]
    assert changes == [("open", "held"), ("half_open", "released"), ("closed", "held")]
    generations = [event.generation for event in bench.events_of(CircuitChanged)]
    assert generations == [generations[0] + n for n in range(3)]
    assert generations[-1] == bench.gate.circuit.generation


def test_a_second_model_closes_the_circuit_of_the_first() -> None:
    """The transition says so."""
    bench = GateBench()
    bench.gate.see_model("m", 0.0)
    bench.fail(0.0, 3)
    bench.gate.see_model("n", 1.0)
    assert bench.changes[-1] == ("open", "closed", "other_model")


def test_forgotten_attempts_are_one_change() -> None:
    """Those that watch the gate look again."""
    bench = GateBench()
    bench.acquire(0.0)
    before = bench.revision.value
    bench.gate.forget_attempts()
    assert (bench.gate.in_flight, bench.revision.value) == (0, before + 1)
