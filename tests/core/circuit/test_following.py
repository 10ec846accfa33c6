"""What circuits and cooldowns of other processes change at a gate."""

from __future__ import annotations

import math
from random import Random

import pytest

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.circuit.following import is_answered
from multirouter.core.circuit.gate import Gate
from multirouter.core.circuit.permits import Permit
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import CooldownStarted
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.core.settings.policies import CircuitPolicy
from multirouter.model import FailureKind, Verdict
from multirouter.testing import Recorder

ANSWERED = Verdict(FailureKind.SERVER, status=500)
UNANSWERED = Verdict(FailureKind.TRANSPORT)


class Bench:
    """A gate with its events."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.revision = ChangeCounter()
        self.gate = Gate(
            "a",
            CircuitPolicy(failures=3, open_duration=5.0, growth=1.0),
            None,
            router="r",
            dispatcher=EventDispatcher([self.recorder], lambda *_: None),
            revision=self.revision,
            rng=Random(1),
        )

    def acquire(self, now: float) -> Permit:
        permit = self.gate.acquire(now, 0, 30.0)
        assert permit is not None
        return permit

    def fail(self, now: float, times: int = 1, verdict: Verdict = UNANSWERED) -> None:
        for _ in range(times):
            permit = self.acquire(now)
            self.gate.release_unanswered(permit, verdict, CircuitEffect.FAILURE, now)

    def changes(self) -> list[tuple[str, str]]:
        self.gate._dispatcher.deliver()
        return [(c.new, c.reason) for c in self.recorder.of("circuit_changed")]


def test_a_closed_circuit_opens_with_jitter() -> None:
    """It half-opens up to a tenth later than theirs, and goes on counting their openings."""
    bench = Bench()
    bench.gate.follow_open(0.0, 10.0, 3, "failures in 2 other processes")
    assert bench.changes() == [("open", "peers")]
    assert 10.0 <= bench.gate.circuit.half_open_at <= 11.0
    assert bench.gate.circuit.consecutive_openings == 3
    assert "failures in 2 other processes" in bench.gate.describe(0.0)


def test_an_open_circuit_stays_open_as_long_as_theirs() -> None:
    """It is postponed where theirs half-open later, and never shortened."""
    bench = Bench()
    bench.fail(0.0, 3)
    before = bench.revision.value
    bench.gate.follow_open(1.0, 2.0, 2, "")
    assert bench.gate.circuit.half_open_at == 5.0
    bench.gate.follow_open(1.0, 20.0, 2, "")
    assert 21.0 <= bench.gate.circuit.half_open_at <= 23.0
    assert bench.revision.value > before
    assert bench.gate.circuit.consecutive_openings == 2
    assert bench.changes() == [("open", "failures")]


def test_a_half_open_circuit_opens_unless_its_own_trial_decides() -> None:
    """A trial of another failed; one in flight here is waited for."""
    bench = Bench()
    bench.fail(0.0, 3)
    bench.gate.follow_open(6.0, 10.0, 2, "")
    assert bench.changes()[-1] == ("open", "peers")
    bench = Bench()
    bench.fail(0.0, 3)
    bench.acquire(6.0)
    bench.gate.follow_open(6.5, 10.0, 2, "")
    assert bench.changes()[-1] == ("half_open", "timer")


def test_a_long_outage_is_followed_for_as_long_as_a_cooldown_may_last() -> None:
    """No word of another process keeps a provider away for longer than the policy allows."""
    bench = Bench()
    bench.gate.follow_open(0.0, 1e9, 1, "")
    assert bench.gate.circuit.half_open_at <= 660.0


@pytest.mark.parametrize("hold", ["open", "closed", "disabled"])
def test_a_hold_decides_alone(hold: str) -> None:
    """A held circuit follows no other."""
    bench = Bench()
    bench.gate.set_hold(hold, 0.0)  # type: ignore[arg-type] # one of them
    state = bench.gate.circuit.state(0.0)
    bench.gate.follow_open(0.0, 10.0, 1, "")
    assert bench.gate.circuit.state(0.0) is state
    bench.gate.follow_closed(0.0)
    assert bench.gate.circuit.state(0.0) is state


def test_a_followed_circuit_closes_with_theirs() -> None:
    """So does one that opened for answered failures; a closed one does not change."""
    bench = Bench()
    bench.gate.follow_closed(0.0)
    bench.gate.follow_open(0.0, 10.0, 1, "")
    bench.gate.follow_closed(1.0)
    assert bench.changes() == [("open", "peers"), ("closed", "peers")]
    bench.fail(2.0, 3, ANSWERED)
    bench.gate.follow_closed(3.0)
    assert bench.changes()[-1] == ("closed", "peers")
    bench.fail(4.0, 3, ANSWERED)
    bench.gate.circuit.settle(10.0)
    bench.gate.follow_closed(10.0)
    assert bench.changes()[-1] == ("closed", "peers")


def test_the_newest_opening_decides_whether_theirs_close_it() -> None:
    """One that was followed closes with theirs, whatever failed before; so does one of a hold."""
    bench = Bench()
    bench.fail(0.0, 3)
    bench.gate.follow_open(6.0, 10.0, 1, "")
    bench.gate.follow_closed(7.0)
    assert bench.changes()[-1] == ("closed", "peers")
    bench = Bench()
    bench.gate.set_hold("open", 0.0)
    bench.gate.set_hold(None, 0.0)
    bench.gate.follow_closed(1.0)
    assert bench.changes()[-1] == ("closed", "peers")


def test_what_may_be_the_own_fault_is_tried() -> None:
    """A circuit that opened for unanswered failures half-opens when theirs close."""
    bench = Bench()
    bench.fail(0.0, 3)
    bench.gate.circuit.consecutive_openings = 4
    bench.gate.follow_closed(1.0)
    assert bench.changes() == [("open", "failures"), ("half_open", "peers")]
    assert bench.gate.circuit.consecutive_openings == 1


def test_one_failure_opens_a_suspected_circuit() -> None:
    """Until the suspicion ends, or theirs have closed; a hold keeps it closed."""
    bench = Bench()
    bench.gate.suspect(10.0)
    bench.fail(11.0)
    assert bench.changes() == []
    bench.gate.shift(10.0)
    bench.fail(19.0)
    assert bench.changes() == [("open", "failures")]
    bench = Bench()
    bench.gate.suspect(10.0)
    bench.gate.follow_closed(1.0)
    bench.fail(2.0)
    assert bench.changes() == []


def test_a_trial_is_postponed() -> None:
    """Only of an open circuit, and never to an earlier time."""
    bench = Bench()
    bench.gate.postpone_trial(9.0)
    assert bench.gate.circuit.half_open_at == math.inf
    bench.fail(0.0, 3)
    before = bench.revision.value
    bench.gate.postpone_trial(9.0)
    bench.gate.postpone_trial(8.0)
    assert bench.gate.circuit.half_open_at == 9.0
    assert bench.revision.value == before + 1


def test_a_cooldown_of_others_is_followed() -> None:
    """With jitter, unless the own one lasts longer; the event says where it began."""
    bench = Bench()
    before = bench.revision.value
    bench.gate.follow_cooldown(0.0, 10.0, rate_limited=True)
    until = bench.gate.cooldown_until
    assert 10.0 <= until <= 11.0
    assert bench.revision.value == before + 1
    assert bench.gate.is_rate_limited(1.0)
    bench.gate.follow_cooldown(1.0, 5.0, rate_limited=False)
    assert bench.gate.cooldown_until == until
    bench.changes()
    events = bench.recorder.of("cooldown_started")
    assert events == [CooldownStarted("r", "a", until, False, 0.0, from_peers=True)]
    bench.gate.follow_cooldown(8.0, 5.0, rate_limited=False)
    assert bench.gate.cooldown_until >= 13.0
    assert not bench.gate.is_rate_limited(9.0)
    assert bench.revision.value == before + 2


@pytest.mark.parametrize(
    ("verdict", "answered"),
    [
        (ANSWERED, True),
        (Verdict(FailureKind.OVERLOADED, status=503), True),
        (Verdict(FailureKind.SERVER, status=502), False),
        (Verdict(FailureKind.TIMEOUT, status=504), False),
        (Verdict(FailureKind.SERVER, status=504), False),
        (Verdict(FailureKind.SERVER, status=505), True),
        (UNANSWERED, False),
        (Verdict(FailureKind.CREDENTIALS, status=401), False),
        (Verdict(FailureKind.EXHAUSTED, status=429), False),
        (Verdict(FailureKind.INVALID), False),
    ],
)
def test_which_failures_prove_that_the_provider_was_reached(
    verdict: Verdict, answered: bool
) -> None:
    """Its own answers do; a proxy's, and those about the process' key, do not."""
    assert is_answered(verdict) is answered
