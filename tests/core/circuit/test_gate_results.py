"""What each result of an attempt does to a provider's gate."""

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
from tests.core.circuit_bench import ARTICLE, LEASE
from tests.core.gate_bench import (
    BAD_REQUEST,
    FORBIDDEN,
    RATE_LIMITED,
    SERVER_ERROR,
    GateBench,
    half_open,
)

# ── results ───────────────────────────────────────────────────────────────────────────────────────


def test_late_results_are_reported_as_late() -> None:
    """Case 27: a result of an old generation is late, whatever it is, and counts in no window."""
    bench = GateBench()
    early = [bench.acquire(0.0) for _ in range(3)]
    bench.fail(0.0, 3)
    bench.succeed(60.0)
    assert bench.gate.release_answered(early[0], 61.0, 61.0)
    assert bench.end(early[1], SERVER_ERROR, CircuitEffect.FAILURE, 61.0)
    assert bench.end(early[2], BAD_REQUEST, CircuitEffect.NEUTRAL, 61.0)
    assert bench.gate.circuit.window.calls == 0
    assert bench.gate.in_flight == 0
    assert not bench.succeed(61.0)


def test_a_neutral_result_changes_neither_counts_nor_last_failure() -> None:
    """Case 7: the request's own fault does not count and is not the last failure."""
    bench = GateBench()
    bench.fail(0.0, 2)
    for _ in range(1000):
        bench.end(bench.acquire(0.0), BAD_REQUEST, CircuitEffect.NEUTRAL, 0.0)
    assert bench.gate.last_failure == "status 500"
    bench.fail(0.0)
    assert bench.changes == [("closed", "open", "failures")]


def test_last_failure_without_a_reason_is_its_kind() -> None:
    """The kind stands for a missing reason."""
    bench = GateBench()
    bench.end(bench.acquire(0.0), Verdict(FailureKind.TIMEOUT), CircuitEffect.FAILURE, 0.0)
    assert bench.gate.last_failure == "timeout"


def test_a_kind_may_count_as_a_success() -> None:
    """By a rule of the user's an error may reset failures and pass a trial."""
    bench = GateBench()
    bench.fail(0.0, 2)
    assert not bench.end(bench.acquire(0.0), BAD_REQUEST, CircuitEffect.SUCCESS, 0.0)
    bench.fail(0.0, 2)
    assert bench.state(0.0) is CircuitState.CLOSED
    bench.fail(0.0)
    bench.end(bench.acquire(60.0), BAD_REQUEST, CircuitEffect.SUCCESS, 60.0)
    assert bench.state(60.0) is CircuitState.CLOSED


def test_a_slow_answer_trips() -> None:
    """An answer that the latency tracker calls slow trips the circuit."""
    bench = GateBench()
    assert not bench.gate.release_answered(bench.acquire(0.0), 9.0, 9.0, slow=True)
    assert bench.changes == [("closed", "open", "slow")]


def test_bad_credentials_trip_at_once_and_for_long() -> None:
    """One 401 opens for `exhausted_duration`, or for Retry-After if that is longer, clamped."""
    for retry_after, span in ((None, 300.0), (10.0, 300.0), (400.0, 400.0), (1e6, 600.0)):
        bench = GateBench()
        verdict = Verdict(FailureKind.EXHAUSTED, retry_after)
        assert not bench.end(bench.acquire(0.0), verdict, CircuitEffect.TRIP, 0.0)
        assert [(n.reason, n.open_duration) for n in bench.events_of(CircuitChanged)] == [
            ("exhausted", span)
        ]


def test_an_uncertain_verdict_trips_at_the_second() -> None:
    """A 403 counts as one failure, two in a row trip; a success between starts anew."""
    bench = GateBench()
    bench.end(bench.acquire(0.0), FORBIDDEN, CircuitEffect.TRIP, 0.0)
    assert bench.gate.circuit.window.failures == 1
    assert bench.state(0.0) is CircuitState.CLOSED
    bench.succeed(0.0)
    bench.end(bench.acquire(0.0), FORBIDDEN, CircuitEffect.TRIP, 0.0)
    assert bench.state(0.0) is CircuitState.CLOSED
    bench.end(bench.acquire(0.0), FORBIDDEN, CircuitEffect.TRIP, 0.0)
    assert bench.changes == [("closed", "open", "credentials")]


def test_unhealthy_when_more_than_half_of_recent_attempts_failed() -> None:
    """Half is healthy, more is not, nor is an unclosed circuit; failures expire with the window."""
    bench = GateBench(CircuitPolicy(failures=100))
    assert not bench.gate.unhealthy(0.0)
    bench.succeed(0.0)
    bench.fail(0.0)
    assert not bench.gate.unhealthy(0.0)
    bench.fail(0.0)
    assert bench.gate.unhealthy(0.0)
    assert bench.gate.unhealthy(9.9)
    assert not bench.gate.unhealthy(10.0)
    bench = half_open()
    assert bench.gate.unhealthy(60.0)


# ── cooldown ──────────────────────────────────────────────────────────────────────────────────────


def test_a_429_cools_down_for_its_retry_after() -> None:
    """Case 10: skipped for exactly its Retry-After, clamped; the circuit does not change."""
    bench = GateBench()
    bench.fail(0.0, 2)
    assert bench.cool_down(0.0, retry_after=7.0) == 7.0
    gate = bench.gate
    assert gate.rejection(6.999) == "cooling down"
    assert gate.acquire(6.999, 0, LEASE) is None
    assert not gate.selectable(6.999)
    assert not gate.half_open(6.999)
    assert gate.changes_at(0.0) == gate.ready_in(0.0) == 7.0
    assert gate.rejection(7.0) == ""
    assert gate.selectable(7.0)
    assert gate.changes_at(7.0) == math.inf
    assert gate.circuit.window.calls == 2
    bench.fail(7.0)
    assert bench.changes == [("closed", "open", "failures")], "the 429 did not reset the failures"
    assert bench.events_of(CooldownStarted) == [
        CooldownStarted("r", "a", 7.0, from_retry_after=True, at=0.0)
    ]
    assert GateBench().cool_down(0.0, retry_after=36_000.0) == 600.0


def test_a_failure_with_retry_after_counts_and_cools_down() -> None:
    """Case 61: a 503 is skipped for its Retry-After, clamped, and counts as a failure as well."""
    unavailable = Verdict(FailureKind.OVERLOADED, 30.0, reason="status 503")
    bench = GateBench(CircuitPolicy(failures=2, growth=1, open_duration=5, max_cooldown=20))
    gate = bench.gate
    bench.end(bench.acquire(0.0), unavailable, CircuitEffect.FAILURE, 0.0)
    assert (gate.circuit.window.failures, gate.ready_in(0.0)) == (1, 20.0)
    assert gate.describe(0.0) == "unavailable by its Retry-After for 20.0 s (status 503)"
    bench.end(bench.acquire(20.0), unavailable, CircuitEffect.FAILURE, 20.0)
    assert bench.state(26.0) is CircuitState.HALF_OPEN
    assert gate.acquire(39.0, 0, LEASE) is None  # no trial before the time that it asked for
    assert gate.acquire(40.0, 0, LEASE) is not None
    assert [event.from_retry_after for event in bench.events_of(CooldownStarted)] == [True, True]
    bench = GateBench()
    bench.end(bench.acquire(0.0), unavailable, CircuitEffect.FAILURE, 0.0)
    assert bench.cool_down(40.0) == 5.0, "only cooldowns after a 429 grow"
    assert bench.gate.describe(41.0) == "cooling down for 4.0 s (status 429)"


@pytest.mark.parametrize("unusable", [None, 0.0, -5.0, math.nan])
def test_cooldown_without_retry_after_doubles(unusable: float | None) -> None:
    """Without a usable Retry-After it lasts 5, 10, 20... s, to the cap, until a success."""
    bench = GateBench(CircuitPolicy(cooldown=5, max_open_duration=40, max_cooldown=40, jitter=0))
    spans, now = [], 0.0
    for _ in range(5):
        spans.append(bench.cool_down(now, retry_after=unusable))
        now = bench.gate.cooldown_until
    assert spans == [5, 10, 20, 40, 40]
    assert {event.from_retry_after for event in bench.events_of(CooldownStarted)} == {False}
    bench.succeed(now)
    assert bench.cool_down(now) == 5.0


def test_a_cooldown_without_retry_after_has_jitter() -> None:
    """Up to half as long again, at most `max_cooldown`; with a Retry-After it has none."""
    spans = []
    for seed in range(100):
        bench = GateBench(CircuitPolicy(cooldown=8.0, max_cooldown=11.0))
        bench.gate._rng.seed(seed)
        spans.append(bench.cool_down(0.0))
        assert GateBench(CircuitPolicy()).cool_down(0.0, retry_after=8.0) == 8.0
    assert 8.0 <= min(spans) < 8.2
    assert max(spans) == 11.0
    assert 12 <= spans.count(11.0) <= 38, "a quarter would be longer: 25 +- 3 * 4.3"
    wide = GateBench(CircuitPolicy(cooldown=8.0, jitter=10.0))
    assert wide.cool_down(0.0) > 8.0 * 1.5


def test_simultaneous_429s_share_their_jitter() -> None:
    """Each lengthens the cooldown to its own end, and none draws a longer one."""
    bench = GateBench(CircuitPolicy())
    permits = [bench.acquire(0.0) for _ in range(50)]
    bench.end(permits[0], RATE_LIMITED, CircuitEffect.COOLDOWN, 0.0)
    span = bench.gate.cooldown_until
    assert 5.0 < span < 7.5
    for permit in permits[1:]:
        bench.end(permit, RATE_LIMITED, CircuitEffect.COOLDOWN, 1.0)
    assert bench.gate.cooldown_until == 1.0 + span


def test_simultaneous_429s_count_once() -> None:
    """Fifty attempts in flight that all get a 429 cool down 5 s from the last, not 10 minutes."""
    bench = GateBench()
    permits = [bench.acquire(0.0) for _ in range(50)]
    for i, permit in enumerate(permits):
        bench.end(permit, RATE_LIMITED, CircuitEffect.COOLDOWN, i / 100)
    assert bench.gate.cooldown_until == pytest.approx(5.49)
    assert bench.cool_down(6.0) == 10.0


def test_a_shorter_retry_after_does_not_shorten_the_cooldown() -> None:
    """A second 429 with a shorter Retry-After changes nothing and is not reported."""
    bench = GateBench()
    permit = bench.acquire(0.0)
    bench.cool_down(0.0, retry_after=60.0)
    before = bench.revision.value
    bench.end(permit, Verdict(FailureKind.RATE_LIMIT, 1.0), CircuitEffect.COOLDOWN, 1.0)
    assert bench.gate.cooldown_until == 60.0
    assert bench.revision.value == before
    assert len(bench.events_of(CooldownStarted)) == 1


def test_every_change_of_availability_raises_the_revision() -> None:
    """Circuit, cooldown, hold, policies and clock raise it; single results do not."""
    bench = GateBench()
    changes: list[Callable[[], Any]] = [
        lambda: bench.cool_down(0.0),
        lambda: bench.fail(10.0, 3),
        lambda: bench.set_hold("disabled"),
        lambda: bench.gate.apply(ARTICLE, None),
        lambda: bench.gate.shift(1.0),
    ]
    for change in changes:
        before = bench.revision.value
        change()
        assert bench.revision.value == before + 1
    quiet = GateBench()
    quiet.succeed(0.0)
    quiet.fail(0.0, 2)
    assert quiet.revision.value == 0


# ── panic ─────────────────────────────────────────────────────────────────────────────────────────


def test_panic_ignores_circuit_and_cooldown() -> None:
    """A gate that is open, half-open or cooling down admits in panic, uncounted if needed."""
    bench = GateBench()
    bench.fail(0.0, 3)
    permit = bench.acquire(1.0, panic=True)
    assert permit.generation == -1
    assert not bench.end(permit, SERVER_ERROR, CircuitEffect.FAILURE, 1.0), "never late"
    assert bench.changes == [("closed", "open", "failures")]
    bench = half_open()
    bench.acquire(60.0)
    assert not bench.acquire(60.0, panic=True).trial
    bench = GateBench()
    bench.cool_down(0.0)
    assert bench.acquire(1.0, panic=True).generation == 0


def test_panic_ignores_neither_holds_nor_limits() -> None:
    """A provider that is held open or at its limit is rejected in panic, too."""
    bench = GateBench()
    bench.set_hold("open")
    assert bench.gate.acquire(0.0, 0, LEASE, panic=True) is None
    bench = half_open(limits=LimitPolicy(in_flight=1))
    bench.acquire(30.0, panic=True)
    assert bench.gate.acquire(30.0, 0, LEASE, panic=True) is None
    assert bench.gate.in_flight == 1
