"""Edges of a door: sizes, short spans, panic on trial, and news that happen once."""

from __future__ import annotations

from multirouter.core.events import CircuitChanged, CooldownStarted
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.model import FailureKind, Verdict
from tests.core.candidates import ARTICLE
from tests.core.gates import REFUSED, TOO_MANY, Door, half_open

TOKENS = LimitPolicy(tokens_per_minute=60, size=len)
SLOW = CircuitPolicy(failures=9, slow_after=0.5, slow_rate=1.0, minimum_calls=1)


def test_a_requests_size_is_asked_for_and_taken() -> None:
    """After 50 of 60 tokens ten are left, more come with time, and no size asks for none."""
    door = Door(limits=TOKENS)
    door.enter(0.0, size=50)
    assert door.gate.admits(0.0, 10)
    assert not door.gate.admits(0.0, 11)
    assert door.gate.refuses(0.0, 11) == "tokens_per_minute used up"
    assert door.gate.acquire(0.0, 11, 30.0) is None
    assert door.gate.ready_in(0.0, 20) == 10.0
    door.enter(0.0, size=10)
    assert door.gate.admits(0.0)
    assert door.gate.refuses(0.0) == ""
    assert door.gate.ready_in(0.0) == 0.0


def test_panic_ignores_a_trial_that_is_out() -> None:
    """At a limited door as at any other, panic lets in beside the trial, and moves nothing."""
    door = half_open(limits=LimitPolicy(in_flight=9))
    assert door.enter(60.0).trial
    assert door.gate.acquire(60.0, 0, 30.0) is None
    assert door.enter(60.0, panic=True).generation == -1


def test_an_answer_is_judged_by_what_it_took() -> None:
    """A slow answer trips where one is enough; an error that counts as success is never slow."""
    door = Door(SLOW)
    door.end(door.enter(0.0), REFUSED, CircuitEffect.SUCCESS, 0.0)
    assert door.changes == []
    door.gate.release_answered(door.enter(100.0), 109.0, 9.0)
    assert door.changes == [("closed", "open", "slow")]


def test_a_rest_of_less_than_a_second_is_one() -> None:
    """Who asks for half a second gets it, and the news says that it was asked for."""
    door = Door()
    assert door.cool(0.0, 0.5) == 0.5
    assert [(news.seconds, news.asked) for news in door.told(CooldownStarted)] == [(0.5, True)]


def test_bad_credentials_open_for_no_longer_than_said() -> None:
    """With `exhausted_duration` below a second and no Retry-After, the circuit opens for just that."""
    door = Door(CircuitPolicy(failures=3, exhausted_duration=0.5))
    door.end(door.enter(0.0), Verdict(FailureKind.CREDENTIALS), CircuitEffect.TRIP, 0.0)
    assert door.gate.circuit.half_open_at == 0.5
    assert door.gate.ready_in(0.0) == 0.5


def test_the_same_rest_is_told_once() -> None:
    """Two 429 of one instant are one rest, one piece of news and one new draw table."""
    door = Door()
    door.revision.value = 5
    for permit in [door.enter(0.0), door.enter(0.0)]:
        door.end(permit, TOO_MANY, CircuitEffect.COOL, 0.0)
    assert len(door.told(CooldownStarted)) == 1
    assert door.revision.value == 6


def test_new_policies_leave_a_hold_in_force() -> None:
    """A disabled circuit stays unheard after an update, and is heard again when released."""
    door = Door()
    door.hold("disabled")
    door.gate.adopt(ARTICLE, None)
    assert door.enter(0.0).generation == -1
    door.hold(None)
    door.gate.adopt(ARTICLE, None)
    assert door.enter(0.0).generation == 0


def test_changes_are_told_with_router_and_instant() -> None:
    """The news of a change says whose it is and when it was."""
    door = Door()
    door.fail(7.0, 3)
    door.gate.circuit.settle(70.0)
    told = [(news.router, news.provider, news.at) for news in door.told(CircuitChanged)]
    assert told == [("r", "a", 7.0), ("r", "a", 70.0)]
