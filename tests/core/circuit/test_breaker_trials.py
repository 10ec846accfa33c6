"""How a half-open circuit is tested, and what comes too late to count."""

from __future__ import annotations

import pytest

from multirouter.core.settings.policies import CircuitPolicy
from tests.core.candidates import HALF_OPEN, LEASE, OPEN, Bench, half_open

# ── half-open ───────────────────────────────────────────────────────────────────────────────────


def test_time_alone_opens_half() -> None:
    """Exactly at `half_open_at` it is half-open, read without any news; the next entry tells it."""
    bench = Bench()
    bench.fail(0.0, 3)
    circuit = bench.circuit
    assert circuit.state(59.999) is OPEN
    assert not circuit.admits(59.999)
    assert circuit.acquire(59.999, LEASE) is None
    assert circuit.state(60.0) is HALF_OPEN
    assert circuit.admits(60.0)
    assert bench.changes == [("closed", "open", "failures")]
    assert bench.enter(60.0).trial
    assert bench.changes[1:] == [("open", "half_open", "reset")]


@pytest.mark.parametrize("half_open_max_calls", [1, 3])
def test_a_crowd_gets_no_more_than_the_permits(half_open_max_calls: int) -> None:
    """Case 11: of 50 at once exactly K get in."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=half_open_max_calls))
    permits = [bench.circuit.acquire(now, LEASE) for _ in range(50)]
    assert [permit is not None for permit in permits] == [True] * half_open_max_calls + [False] * (
        50 - half_open_max_calls
    )


def test_a_trial_without_a_verdict_gives_its_place_back() -> None:
    """Cases 12 and 13: after a cancelled or neutral trial it is half-open, and the next is one."""
    bench, now = half_open()
    permit = bench.enter(now)
    assert not bench.circuit.admits(now)
    assert bench.circuit.returned(permit)
    assert bench.circuit.state(now) is HALF_OPEN
    assert bench.enter(now).trial
    assert bench.changes[-1] == ("open", "half_open", "reset")


def test_a_trial_that_never_ends_loses_its_place() -> None:
    """Case 14: up to its lease it keeps others out; at its end another is let in."""
    bench, now = half_open()
    lost = bench.enter(now, lease=5.0)
    assert bench.circuit.acquire(now + 4.999, 5.0) is None
    assert bench.circuit.admits(now + 5.0)
    other = bench.enter(now + 5.0)
    assert bench.circuit.acquire(now + 5.0, 5.0) is None
    assert not bench.circuit.failed(lost, now + 6.0), "given up for lost: it decides nothing"
    assert bench.circuit.state(now + 6.0) is HALF_OPEN
    assert bench.circuit.succeeded(other, now + 6.0, 1.0)
    assert bench.circuit.is_closed


def test_a_trial_that_is_late_but_not_replaced_still_counts() -> None:
    """A result after the lease decides as long as no other trial took its place."""
    bench, now = half_open()
    permit = bench.enter(now, lease=5.0)
    assert bench.circuit.succeeded(permit, now + 60.0, 60.0)
    assert bench.circuit.is_closed


def test_a_renewed_lease_holds() -> None:
    """A trial that shows signs of life keeps its place from the last of them on."""
    bench, now = half_open()
    permit = bench.enter(now, lease=5.0)
    bench.circuit.renew(permit, now + 4.0, 5.0)
    assert bench.circuit.acquire(now + 8.999, 5.0) is None
    assert bench.circuit.admits(now + 9.0)


def test_a_trial_that_flows_is_proven_before_its_end() -> None:
    """It closes the circuit while it goes on; its failure afterwards counts in the new era."""
    bench, now = half_open()
    permit = bench.enter(now)
    bench.circuit.prove(permit, now + 1.0)
    assert bench.changes[-1] == ("half_open", "closed", "recovered")
    bench.fail(now + 2.0, 2)
    assert bench.circuit.failed(permit, now + 2.0)
    assert bench.changes[-1] == ("closed", "open", "failures")


def test_a_proof_among_several_trials_is_one_of_them() -> None:
    """With K=2 one proof leaves it half-open, and a lost, ended or old permit proves nothing."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=2))
    first, second = bench.enter(now), bench.enter(now, lease=1.0)
    bench.circuit.prove(first, now)
    assert bench.circuit.state(now) is HALF_OPEN
    bench.enter(now + 1.0)
    bench.circuit.prove(second, now + 1.0)
    assert bench.circuit.state(now + 1.0) is HALF_OPEN
    bench.circuit.prove(second, now + 1.0)
    assert bench.circuit.state(now + 1.0) is HALF_OPEN


def test_all_trials_must_pass_and_one_failure_opens() -> None:
    """Case 15: with K=3, two successes and a failure re-open, once."""
    policy = CircuitPolicy(failures=3, half_open_max_calls=3)
    bench, now = half_open(policy)
    bench.pass_(now, 2)
    assert bench.circuit.state(now) is HALF_OPEN
    bench.fail(now)
    assert bench.changes[2:] == [("half_open", "open", "trial_failed")]
    bench, now = half_open(policy)
    bench.pass_(now, 3)
    assert bench.changes[2:] == [("half_open", "closed", "recovered")]


def test_successes_and_trials_under_way_share_the_places() -> None:
    """With K=3 and two passed only one more is let out, whatever became of neutral ones."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=3))
    bench.pass_(now, 2)
    last = bench.enter(now)
    assert bench.circuit.acquire(now, LEASE) is None
    bench.circuit.returned(last)
    bench.pass_(now)
    assert bench.circuit.is_closed


def test_a_sibling_that_succeeds_after_the_opening_changes_nothing() -> None:
    """Case 16: K=2, the first trial fails, the second then succeeds: open, era unmoved."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=2))
    first, second = bench.enter(now), bench.enter(now)
    assert bench.circuit.failed(first, now)
    generation = bench.circuit.generation
    assert not bench.circuit.succeeded(second, now, 1.0)
    assert (bench.circuit.state(now), bench.circuit.generation) == (OPEN, generation)
    assert len(bench.news) == 3


def test_asking_takes_no_permit() -> None:
    """Case 17: a thousand questions leave the one trial to whoever enters."""
    bench, now = half_open()
    for _ in range(1000):
        assert bench.circuit.admits(now)
        bench.circuit.state(now)
        repr(bench.circuit)
    assert bench.enter(now).trial


@pytest.mark.parametrize("how", ["rate", "own past"])
def test_a_slow_trial_opens_again(how: str) -> None:
    """A trial that answers too slowly is no recovery, by the mark or by its own past."""
    policy = CircuitPolicy(failures=3, slow_after=2.0 if how == "rate" else None)
    bench, now = half_open(policy)
    bench.pass_(now, elapsed=2.1, slow=how == "own past")
    assert bench.changes[-1] == ("half_open", "open", "trial_failed")


def test_a_trial_at_the_mark_closes() -> None:
    """An answer of exactly `slow_after` is not slow."""
    bench, now = half_open(CircuitPolicy(failures=3, slow_after=2.0))
    bench.pass_(now, elapsed=2.0)
    assert bench.circuit.is_closed


def test_a_trial_that_proves_more_opens_for_longer() -> None:
    """A trial refused for bad credentials re-opens with that reason and for that span."""
    bench, now = half_open()
    assert bench.circuit.tripped(bench.enter(now), now, "credentials", 300.0)
    assert bench.news[-1] == (HALF_OPEN, OPEN, "credentials", 300.0, now)


def test_a_trial_ends_once() -> None:
    """Whatever is said of a trial after its end changes nothing."""
    bench, now = half_open(CircuitPolicy(failures=3, half_open_max_calls=2))
    trial = bench.enter(now)
    assert bench.circuit.succeeded(trial, now, 0.1)
    assert not bench.circuit.failed(trial, now)
    assert not bench.circuit.succeeded(trial, now, 0.1)
    assert not bench.circuit.tripped(trial, now, "exhausted", 1.0)
    assert not bench.circuit.returned(trial)
    assert bench.circuit.state(now) is HALF_OPEN
    bench.pass_(now)
    assert bench.circuit.is_closed


def test_attempts_of_one_closed_era_share_a_permit() -> None:
    """It says the era and no more, so it costs nothing; the next era has another."""
    bench = Bench(CircuitPolicy(failures=1))
    first = bench.enter(0.0)
    assert bench.enter(0.0) is first
    bench.fail(0.0)
    assert bench.circuit.shared_permit is not first


# ── eras ────────────────────────────────────────────────────────────────────────────────────────


def test_a_success_from_before_the_opening_closes_nothing() -> None:
    """Case 23: A begins while closed, the circuit opens, A succeeds: still open."""
    bench = Bench()
    old = bench.enter(0.0)
    bench.fail(0.0, 3)
    assert not bench.circuit.succeeded(old, 1.0, 1.0)
    assert bench.circuit.state(1.0) is OPEN


@pytest.mark.parametrize("succeeds", [True, False])
def test_the_trial_alone_decides(succeeds: bool) -> None:
    """Cases 24 and 25: while a trial is out an old attempt's end, good or bad, moves nothing."""
    bench = Bench()
    old = bench.enter(0.0)
    bench.fail(0.0, 3)
    trial = bench.enter(60.0)
    late = bench.circuit
    counted = late.succeeded(old, 61.0, 61.0) if succeeds else late.failed(old, 61.0)
    assert not counted
    assert bench.circuit.state(61.0) is HALF_OPEN
    bench.circuit.succeeded(trial, 61.0, 1.0)
    assert bench.circuit.is_closed


def test_an_old_failure_is_in_no_new_window() -> None:
    """Cases 26 and 27: after the recovery, an old failure and one new one do not make two."""
    bench = Bench(CircuitPolicy(failures=2, open_duration=60, growth=1))
    old = bench.enter(0.0)
    bench.fail(0.0, 2)
    bench.pass_(60.0)
    assert not bench.circuit.failed(old, 61.0)
    assert (bench.circuit.window.calls, bench.circuit.window.failures) == (0, 0)
    bench.fail(61.0)
    assert bench.circuit.is_closed
    bench.fail(61.0)
    assert not bench.circuit.is_closed


def test_recovery_starts_with_a_clean_slate() -> None:
    """After it closed, neither run nor rates nor slowness of before the opening count."""
    policy = CircuitPolicy(
        failures=3, failure_rate=0.5, minimum_calls=4, slow_after=2.0, open_duration=1, growth=1
    )
    bench = Bench(policy)
    bench.pass_(0.0, 3, elapsed=2.1)
    bench.fail(0.0, 3)
    bench.pass_(1.0)
    assert bench.circuit.is_closed
    bench.fail(1.0)
    bench.pass_(1.0, elapsed=2.1)
    bench.fail(1.0, 2)
    assert bench.changes[-1] == ("closed", "open", "failure_rate"), "3 of 4 in the new window"
    assert len(bench.news) == 4


def test_a_permit_of_no_era_moves_nothing() -> None:
    """Who entered without regard to the circuit leaves without a trace in it."""
    bench = Bench(CircuitPolicy(failures=1))
    permit = bench.circuit.uncounted()
    assert not permit.trial
    assert not bench.circuit.failed(permit, 0.0)
    assert bench.circuit.is_closed
    assert bench.circuit.window.calls == 0
