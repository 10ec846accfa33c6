"""Trials of a half-open circuit, and results that come too late to count."""

from __future__ import annotations

import pytest

from multirouter.core.settings.policies import CircuitPolicy
from tests.core.circuit_bench import HALF_OPEN, LEASE, OPEN, CircuitBench, half_open

# ── half-open ─────────────────────────────────────────────────────────────────────────────────────


def test_time_alone_half_opens() -> None:
    """At `half_open_at` it reads as half-open; the next attempt reports the transition."""
    bench = CircuitBench()
    bench.fail(0.0, 3)
    circuit = bench.circuit
    assert circuit.state(59.999) is OPEN
    assert not circuit.admits(59.999)
    assert circuit.acquire(59.999, LEASE) is None
    assert circuit.state(60.0) is HALF_OPEN
    assert circuit.admits(60.0)
    assert bench.changes == [("closed", "open", "failures")]
    assert bench.acquire(60.0).trial
    assert bench.changes[1:] == [("open", "half_open", "timer")]


@pytest.mark.parametrize("half_open_max_calls", [1, 3])
def test_half_open_admits_no_more_than_max_calls(half_open_max_calls: int) -> None:
    """Case 11: of 50 attempts at once exactly K are admitted."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=half_open_max_calls))
    permits = [bench.circuit.acquire(now, LEASE) for _ in range(50)]
    assert [permit is not None for permit in permits] == [True] * half_open_max_calls + [False] * (
        50 - half_open_max_calls
    )


@pytest.mark.parametrize(
    ("wait", "recheck", "joins"), [(0.0, LEASE, False), (0.5, 1.0, True), (2.0, 1.0, True)]
)
def test_when_a_call_may_look_again(wait: float, recheck: float, *, joins: bool) -> None:
    """At once when it is admitted, at the half-opening, then when it may join or a lease ends."""
    bench = CircuitBench(CircuitPolicy(failures=3, open_duration=60, growth=1, half_open_wait=wait))
    circuit = bench.circuit
    assert circuit.recheck_in(0.0) == 0.0
    bench.fail(0.0, 3)
    assert circuit.recheck_in(20.0) == 40.0
    assert circuit.recheck_in(60.0) == 0.0
    bench.acquire(60.0)
    assert circuit.recheck_in(60.0) == recheck
    assert circuit.admits(60.0 + 1.0, join=True) is joins
    if joins:
        assert circuit.recheck_in(60.0 + 1.0) == 0.0


def test_a_neutral_trial_admits_another() -> None:
    """Cases 12 and 13: after a cancelled or neutral trial it stays half-open and admits a trial."""
    bench, now = half_open()
    permit = bench.acquire(now)
    assert not bench.circuit.admits(now)
    assert bench.circuit.release(permit)
    assert bench.circuit.state(now) is HALF_OPEN
    assert bench.acquire(now).trial
    assert bench.changes[-1] == ("open", "half_open", "timer")


def test_a_lost_trial_is_replaced_after_its_lease() -> None:
    """Case 14: up to its lease it excludes others; after it another trial is admitted."""
    bench, now = half_open()
    lost = bench.acquire(now, lease=5.0)
    assert bench.circuit.acquire(now + 4.999, 5.0) is None
    assert bench.circuit.admits(now + 5.0)
    other = bench.acquire(now + 5.0)
    assert bench.circuit.acquire(now + 5.0, 5.0) is None
    assert not bench.circuit.record_failure(lost, now + 6.0), "a lost trial decides nothing"
    assert bench.circuit.state(now + 6.0) is HALF_OPEN
    assert bench.circuit.record_success(other, now + 6.0, 1.0)
    assert bench.circuit.is_closed


def test_a_late_trial_that_was_not_replaced_counts() -> None:
    """A result after the lease decides as long as no other trial took its place."""
    bench, now = half_open()
    permit = bench.acquire(now, lease=5.0)
    assert bench.circuit.record_success(permit, now + 60.0, 60.0)
    assert bench.circuit.is_closed


def test_a_renewed_lease_counts_from_the_renewal() -> None:
    """A trial that delivers keeps its place from the last renewal on."""
    bench, now = half_open()
    permit = bench.acquire(now, lease=5.0)
    permit.renew(now + 4.0, 5.0)
    assert bench.circuit.acquire(now + 8.999, 5.0) is None
    assert bench.circuit.admits(now + 9.0)


def test_pass_trial_closes_before_the_attempt_ends() -> None:
    """The attempt goes on; its failure afterwards counts in the new generation."""
    bench, now = half_open()
    permit = bench.acquire(now)
    bench.circuit.pass_trial(permit, now + 1.0)
    assert bench.changes[-1] == ("half_open", "closed", "recovered")
    bench.fail(now + 2.0, 2)
    assert bench.circuit.record_failure(permit, now + 2.0)
    assert bench.changes[-1] == ("closed", "open", "failures")


def test_pass_trial_counts_as_one_of_several_trials() -> None:
    """With K=2 one leaves it half-open; a lost, settled or old permit passes nothing."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=2))
    first, second = bench.acquire(now), bench.acquire(now, lease=1.0)
    bench.circuit.pass_trial(first, now)
    assert bench.circuit.state(now) is HALF_OPEN
    bench.acquire(now + 1.0)
    bench.circuit.pass_trial(second, now + 1.0)
    assert bench.circuit.state(now + 1.0) is HALF_OPEN
    bench.circuit.pass_trial(second, now + 1.0)
    assert bench.circuit.state(now + 1.0) is HALF_OPEN


def test_all_trials_must_pass_and_one_failure_opens() -> None:
    """Case 15: with K=3, two successes and a failure open it again, once."""
    policy = CircuitPolicy(failures=3, half_open_max_calls=3)
    bench, now = half_open(policy)
    bench.succeed(now, 2)
    assert bench.circuit.state(now) is HALF_OPEN
    bench.fail(now)
    assert bench.changes[2:] == [("half_open", "open", "trial_failed")]
    bench, now = half_open(policy)
    bench.succeed(now, 3)
    assert bench.changes[2:] == [("half_open", "closed", "recovered")]


def test_passed_trials_and_trials_in_flight_share_the_limit() -> None:
    """With K=3 and two passed only one more is admitted, whatever neutral trials there were."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=3))
    bench.succeed(now, 2)
    last = bench.acquire(now)
    assert bench.circuit.acquire(now, LEASE) is None
    bench.circuit.release(last)
    bench.succeed(now)
    assert bench.circuit.is_closed


def test_a_parallel_trial_that_succeeds_after_the_opening_changes_nothing() -> None:
    """Case 16: K=2, the first trial fails, the second then succeeds: open, same generation."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=2))
    first, second = bench.acquire(now), bench.acquire(now)
    assert bench.circuit.record_failure(first, now)
    generation = bench.circuit.generation
    assert not bench.circuit.record_success(second, now, 1.0)
    assert (bench.circuit.state(now), bench.circuit.generation) == (OPEN, generation)
    assert len(bench.events) == 3


def test_reading_takes_no_permit() -> None:
    """Case 17: after a thousand reads the one trial is still available."""
    bench, now = half_open()
    for _ in range(1000):
        assert bench.circuit.admits(now)
        bench.circuit.state(now)
        repr(bench.circuit)
    assert bench.acquire(now).trial


@pytest.mark.parametrize("how", ["rate", "own baseline"])
def test_a_slow_trial_opens_again(how: str) -> None:
    """A trial that answers too slowly is no recovery, by `slow_after` or by its own baseline."""
    policy = CircuitPolicy(failures=3, slow_after=2.0 if how == "rate" else None)
    bench, now = half_open(policy)
    bench.succeed(now, elapsed=2.1, slow=how == "own baseline")
    assert bench.changes[-1] == ("half_open", "open", "trial_failed")


def test_a_trial_of_exactly_slow_after_closes() -> None:
    """An answer of exactly `slow_after` is not slow."""
    bench, now = half_open(CircuitPolicy(failures=3, slow_after=2.0))
    bench.succeed(now, elapsed=2.0)
    assert bench.circuit.is_closed


def test_a_trial_with_bad_credentials_opens_for_longer() -> None:
    """It opens again with that reason and for that duration."""
    bench, now = half_open()
    assert bench.circuit.record_trip(bench.acquire(now), now, "credentials", 300.0)
    assert bench.events[-1] == (HALF_OPEN, OPEN, "credentials", 300.0, now)


def test_a_trial_is_settled_once() -> None:
    """Results of a trial after its end change nothing."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=2))
    trial = bench.acquire(now)
    assert bench.circuit.record_success(trial, now, 0.1)
    assert not bench.circuit.record_failure(trial, now)
    assert not bench.circuit.record_success(trial, now, 0.1)
    assert not bench.circuit.record_trip(trial, now, "exhausted", 1.0)
    assert not bench.circuit.release(trial)
    assert bench.circuit.state(now) is HALF_OPEN
    bench.succeed(now)
    assert bench.circuit.is_closed


def test_attempts_of_one_closed_generation_share_a_permit() -> None:
    """It holds the generation and no more; the next generation has another."""
    bench = CircuitBench(CircuitPolicy(failures=1))
    first = bench.acquire(0.0)
    assert bench.acquire(0.0) is first
    bench.fail(0.0)
    assert bench.circuit.shared_permit is not first


# ── generations ───────────────────────────────────────────────────────────────────────────────────


def test_a_success_from_before_the_opening_closes_nothing() -> None:
    """Case 23: A begins while closed, the circuit opens, A succeeds: still open."""
    bench = CircuitBench()
    old = bench.acquire(0.0)
    bench.fail(0.0, 3)
    assert not bench.circuit.record_success(old, 1.0, 1.0)
    assert bench.circuit.state(1.0) is OPEN


@pytest.mark.parametrize("succeeds", [True, False])
def test_only_the_trial_decides(succeeds: bool) -> None:
    """Cases 24 and 25: while a trial is in flight the result of an old attempt changes nothing."""
    bench = CircuitBench()
    old = bench.acquire(0.0)
    bench.fail(0.0, 3)
    trial = bench.acquire(60.0)
    late = bench.circuit
    counted = late.record_success(old, 61.0, 61.0) if succeeds else late.record_failure(old, 61.0)
    assert not counted
    assert bench.circuit.state(61.0) is HALF_OPEN
    bench.circuit.record_success(trial, 61.0, 1.0)
    assert bench.circuit.is_closed


def test_an_old_failure_does_not_count_in_the_new_window() -> None:
    """Cases 26 and 27: after the recovery, an old failure and a new one do not make two."""
    bench = CircuitBench(CircuitPolicy(failures=2, open_duration=60, growth=1))
    old = bench.acquire(0.0)
    bench.fail(0.0, 2)
    bench.succeed(60.0)
    assert not bench.circuit.record_failure(old, 61.0)
    assert (bench.circuit.window.calls, bench.circuit.window.failures) == (0, 0)
    bench.fail(61.0)
    assert bench.circuit.is_closed
    bench.fail(61.0)
    assert not bench.circuit.is_closed


def test_recovery_clears_all_counts() -> None:
    """After it closed, failures, rates and slow answers of before the opening do not count."""
    policy = CircuitPolicy(
        failures=3, failure_rate=0.5, minimum_calls=4, slow_after=2.0, open_duration=1, growth=1
    )
    bench = CircuitBench(policy)
    bench.succeed(0.0, 3, elapsed=2.1)
    bench.fail(0.0, 3)
    bench.succeed(1.0)
    assert bench.circuit.is_closed
    bench.fail(1.0)
    bench.succeed(1.0, elapsed=2.1)
    bench.fail(1.0, 2)
    assert bench.changes[-1] == ("closed", "open", "failure_rate"), "3 of 4 in the new window"
    assert len(bench.events) == 4


def test_an_uncounted_permit_changes_nothing() -> None:
    """The result of an attempt that ignored the circuit is not counted."""
    bench = CircuitBench(CircuitPolicy(failures=1))
    permit = bench.circuit.uncounted()
    assert not permit.trial
    assert not bench.circuit.record_failure(permit, 0.0)
    assert bench.circuit.is_closed
    assert bench.circuit.window.calls == 0
