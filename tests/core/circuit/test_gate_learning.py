"""What each end of an attempt teaches a provider's door."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from multirouter.core.circuit.states import CircuitState
from multirouter.core.events import CircuitChanged, CooldownStarted
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy, LimitPolicy
from multirouter.model import FailureKind, Verdict
from tests.core.candidates import ARTICLE, LEASE
from tests.core.gates import BROKEN, MAYBE_BAD, REFUSED, TOO_MANY, Door, half_open

# ── how it went ─────────────────────────────────────────────────────────────────────────────────


def test_late_results_say_so() -> None:
    """Case 27: a result of an old era is told as late, of either kind, and moves no window."""
    door = Door()
    early = [door.enter(0.0) for _ in range(3)]
    door.fail(0.0, 3)
    door.pass_(60.0)
    assert door.gate.release_answered(early[0], 61.0, 61.0)
    assert door.end(early[1], BROKEN, CircuitEffect.FAILURE, 61.0)
    assert door.end(early[2], REFUSED, CircuitEffect.NEUTRAL, 61.0)
    assert door.gate.circuit.window.calls == 0
    assert door.gate.in_flight == 0
    assert not door.pass_(61.0)


def test_a_neutral_end_leaves_run_and_words_alone() -> None:
    """Case 7: what is the request's own fault neither counts nor is told as the last failure."""
    door = Door()
    door.fail(0.0, 2)
    for _ in range(1000):
        door.end(door.enter(0.0), REFUSED, CircuitEffect.NEUTRAL, 0.0)
    assert door.gate.last_failure == "status 500"
    door.fail(0.0)
    assert door.changes == [("closed", "open", "failures")]


def test_the_last_failure_is_told_by_its_reason_or_kind() -> None:
    """A verdict without a reason is told by its kind."""
    door = Door()
    door.end(door.enter(0.0), Verdict(FailureKind.TIMEOUT), CircuitEffect.FAILURE, 0.0)
    assert door.gate.last_failure == "timeout"


def test_a_kind_may_count_as_a_success() -> None:
    """By a rule of the user's an error may prove life: it ends a run and closes by a trial."""
    door = Door()
    door.fail(0.0, 2)
    assert not door.end(door.enter(0.0), REFUSED, CircuitEffect.SUCCESS, 0.0)
    door.fail(0.0, 2)
    assert door.state(0.0) is CircuitState.CLOSED
    door.fail(0.0)
    door.end(door.enter(60.0), REFUSED, CircuitEffect.SUCCESS, 60.0)
    assert door.state(60.0) is CircuitState.CLOSED


def test_slowness_is_handed_on() -> None:
    """An answer that its pace calls ill trips the circuit."""
    door = Door()
    assert not door.gate.release_answered(door.enter(0.0), 9.0, 9.0, slow=True)
    assert door.changes == [("closed", "open", "slow")]


def test_bad_credentials_trip_at_once_and_for_long() -> None:
    """One 401 opens for `exhausted_duration`, or for what was asked if that is longer, clamped."""
    for asked, span in ((None, 300.0), (10.0, 300.0), (400.0, 400.0), (1e6, 600.0)):
        door = Door()
        verdict = Verdict(FailureKind.EXHAUSTED, asked)
        assert not door.end(door.enter(0.0), verdict, CircuitEffect.TRIP, 0.0)
        assert [(n.reason, n.open_duration) for n in door.told(CircuitChanged)] == [
            ("exhausted", span)
        ]


def test_what_proves_little_trips_at_the_second() -> None:
    """A 403 counts as one failure, two in a row trip; a success between starts anew."""
    door = Door()
    door.end(door.enter(0.0), MAYBE_BAD, CircuitEffect.TRIP, 0.0)
    assert door.gate.circuit.window.failures == 1
    assert door.state(0.0) is CircuitState.CLOSED
    door.pass_(0.0)
    door.end(door.enter(0.0), MAYBE_BAD, CircuitEffect.TRIP, 0.0)
    assert door.state(0.0) is CircuitState.CLOSED
    door.end(door.enter(0.0), MAYBE_BAD, CircuitEffect.TRIP, 0.0)
    assert door.changes == [("closed", "open", "credentials")]


def test_ill_is_whoever_failed_more_than_half_of_late() -> None:
    """Half is not ill, more is, an unclosed circuit is; and what is older than the window heals."""
    door = Door(CircuitPolicy(failures=100))
    assert not door.gate.ill(0.0)
    door.pass_(0.0)
    door.fail(0.0)
    assert not door.gate.ill(0.0)
    door.fail(0.0)
    assert door.gate.ill(0.0)
    assert door.gate.ill(9.9)
    assert not door.gate.ill(10.0)
    door = half_open()
    assert door.gate.ill(60.0)


# ── cooling ─────────────────────────────────────────────────────────────────────────────────────


def test_a_429_rests_for_what_it_asks() -> None:
    """Case 10: it is skipped for its Retry-After, to the instant, clamped; the circuit is still."""
    door = Door()
    door.fail(0.0, 2)
    assert door.cool(0.0, retry_after=7.0) == 7.0
    gate = door.gate
    assert gate.refuses(6.999) == "cooling down"
    assert gate.acquire(6.999, 0, LEASE) is None
    assert not gate.closed(6.999)
    assert not gate.on_trial(6.999)
    assert gate.changes_at(0.0) == gate.ready_in(0.0) == 7.0
    assert gate.refuses(7.0) == ""
    assert gate.closed(7.0)
    assert gate.changes_at(7.0) == math.inf
    assert gate.circuit.window.calls == 2
    door.fail(7.0)
    assert door.changes == [("closed", "open", "failures")], "the run was not ended by the 429"
    assert door.told(CooldownStarted) == [CooldownStarted("r", "a", 7.0, asked=True, at=0.0)]
    assert Door().cool(0.0, retry_after=36_000.0) == 600.0


@pytest.mark.parametrize("unsaid", [None, 0.0, -5.0, math.nan])
def test_a_429_that_names_no_time_doubles(unsaid: float | None) -> None:
    """Without a usable Retry-After it rests 5, 10, 20... s, to the cap, until a success."""
    door = Door(CircuitPolicy(cooldown=5, max_open_duration=40, max_cooldown=40))
    spans, now = [], 0.0
    for _ in range(5):
        spans.append(door.cool(now, retry_after=unsaid))
        now = door.gate.cooldown_until
    assert spans == [5, 10, 20, 40, 40]
    assert {news.asked for news in door.told(CooldownStarted)} == {False}
    door.pass_(now)
    assert door.cool(now) == 5.0


def test_many_429s_at_once_are_one() -> None:
    """Fifty attempts under way that all meet a 429 rest 5 s from the last, not 10 minutes."""
    door = Door()
    permits = [door.enter(0.0) for _ in range(50)]
    for i, permit in enumerate(permits):
        door.end(permit, TOO_MANY, CircuitEffect.COOL, i / 100)
    assert door.gate.cooldown_until == pytest.approx(5.49)
    assert door.cool(6.0) == 10.0


def test_a_shorter_rest_does_not_shorten() -> None:
    """A second 429 that asks for less is no news and changes nothing."""
    door = Door()
    permit = door.enter(0.0)
    door.cool(0.0, retry_after=60.0)
    before = door.revision.value
    door.end(permit, Verdict(FailureKind.RATE_LIMIT, 1.0), CircuitEffect.COOL, 1.0)
    assert door.gate.cooldown_until == 60.0
    assert door.revision.value == before
    assert len(door.told(CooldownStarted)) == 1


def test_whatever_opens_or_shuts_moves_the_revision() -> None:
    """Draw tables see every change: circuit, cooling, hold, policies, clock; and nothing else."""
    door = Door()
    changes: list[Callable[[], Any]] = [
        lambda: door.cool(0.0),
        lambda: door.fail(10.0, 3),
        lambda: door.hold("disabled"),
        lambda: door.gate.adopt(ARTICLE, None),
        lambda: door.gate.shift(1.0),
    ]
    for change in changes:
        before = door.revision.value
        change()
        assert door.revision.value == before + 1
    quiet = Door()
    quiet.pass_(0.0)
    quiet.fail(0.0, 2)
    assert quiet.revision.value == 0


# ── panic ───────────────────────────────────────────────────────────────────────────────────────


def test_panic_passes_circuit_and_cooling_by() -> None:
    """In panic an open, trying or cooling door lets in, uncounted where nothing may count."""
    door = Door()
    door.fail(0.0, 3)
    permit = door.enter(1.0, panic=True)
    assert permit.generation == -1
    assert not door.end(permit, BROKEN, CircuitEffect.FAILURE, 1.0), "never late"
    assert door.changes == [("closed", "open", "failures")]
    door = half_open()
    door.enter(60.0)
    assert not door.enter(60.0, panic=True).trial
    door = Door()
    door.cool(0.0)
    assert door.enter(1.0, panic=True).generation == 0


def test_panic_passes_no_hand_and_no_limit_by() -> None:
    """What a hand holds open, and what is full, stays shut in panic too."""
    door = Door()
    door.hold("open")
    assert door.gate.acquire(0.0, 0, LEASE, panic=True) is None
    door = half_open(limits=LimitPolicy(in_flight=1))
    door.enter(30.0, panic=True)
    assert door.gate.acquire(30.0, 0, LEASE, panic=True) is None
    assert door.gate.in_flight == 1
