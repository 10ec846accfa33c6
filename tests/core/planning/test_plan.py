"""Plan of one call: immediate failover, backoff between rounds, and the end."""

from __future__ import annotations

import math
from typing import Any

import pytest

from multirouter.core.planning.steps import WaitStep
from multirouter.core.routes.route import Route
from multirouter.core.settings.failure_rules import RULES, Failover
from multirouter.core.settings.policies import CircuitPolicy, RetryPolicy
from multirouter.errors import AllProvidersFailed, CallTimeout
from multirouter.model import CallOutcome, FailureKind, Verdict
from tests.core.kit import FIXED, NEVER_TRIPS, World, calm, chain, failing, provider

# ── failover ────────────────────────────────────────────────────────────────────────────────────


def test_chain_is_attempted_in_order() -> None:
    """Case 73: A is open and skipped, B fails once, C answers, and the trail says so."""
    world = World([provider(n) for n in "abc"], [Route("chain", ["a", "b", "c"])], circuit=FIXED)
    world.trip("a")
    plan = world.plan("chain")
    assert world.run_attempts(plan, "server", "ok") == ["b", "c"]
    outcome = world.next_outcome(plan)
    assert (outcome.provider, outcome.value, outcome.failovers) == ("c", "answer", 1)
    assert [(r.provider, str(r.verdict.kind), r.why) for r in outcome.attempts] == [
        ("b", "server", "only candidate"),
        ("c", "success", "failover from b (server); only candidate"),
    ]
    assert "a: open" in str(world.next_outcome(world.plan(["a"])).error)
    (event,) = world.recorder.of("failed_over")
    assert (event.route, event.provider, event.to, event.kind) == (
        "chain",
        "b",
        "c",
        FailureKind.SERVER,
    )


@pytest.mark.parametrize("kind", [k for k in FailureKind if RULES[k].failover is Failover.AT_ONCE])
def test_failover_is_immediate(kind: FailureKind) -> None:
    """A failure that another provider may avoid fails over at the same loop time."""
    world = chain("a", "b")
    plan = world.plan("chain")
    world.fail(plan, world.next_attempt(plan), failing(kind, retry_after=60.0))
    step = world.next_attempt(plan)
    assert (step.member.name, step.started) == ("b", world.now)


def test_failover_failures_count_at_their_circuits() -> None:
    """Case 76: failures of later providers count at their own circuits."""
    world = World([provider("a"), provider("b")], [Route("chain", ["a", "b"])], circuit=FIXED)
    for _ in range(3):
        plan = world.plan("chain")
        while not isinstance(step := world.step(plan), CallOutcome):
            if isinstance(step, WaitStep):
                break
            world.fail(plan, step, "overloaded")
    states = {name: str(gate.circuit.state(world.now)) for name, gate in world.states.gates.items()}
    assert states == {"a": "open", "b": "open"}


def test_failure_at_the_threshold_opens_once() -> None:
    """Case 2: the N-th failure opens once, and its caller gets the provider's own error."""
    world = World([provider("a")], circuit=FIXED, retry=RetryPolicy(attempts=1))
    errors = []
    for _ in range(3):
        plan = world.plan()
        errors.append(world.fail(plan, world.next_attempt(plan)))
        outcome = world.next_outcome(plan)
    assert isinstance(outcome.error, AllProvidersFailed)
    assert outcome.error.__cause__ is errors[-1]
    assert outcome.error.attempts[-1].error is errors[-1]
    assert world.recorder.transitions("a") == ["closed > open"]


def test_all_providers_failed_has_every_error() -> None:
    """Case 75: the error holds each attempt's error in order; the last is its cause."""
    world = chain("a", "b", "c", retry=RetryPolicy(attempts=1))
    plan = world.plan("chain")
    errors = [world.fail(plan, world.next_attempt(plan)) for _ in range(3)]
    outcome = world.next_outcome(plan)
    assert isinstance(outcome.error, AllProvidersFailed)
    assert [record.error for record in outcome.error.attempts] == errors
    assert outcome.error.__cause__ is errors[-1]
    assert [record.provider for record in outcome.attempts] == ["a", "b", "c"]
    with pytest.raises(AllProvidersFailed):
        _ = outcome.value


def test_cancelled_call_has_no_failover() -> None:
    """Case 75: a call cancelled during an attempt ends, and its permit is returned."""
    world = chain("a", "b")
    plan = world.plan("chain")
    step = world.next_attempt(plan)
    world.cancel(plan, step)
    left = KeyboardInterrupt()
    outcome = plan.abort(left, world.now)
    plan.finish(outcome)
    assert (outcome.result, outcome.error) == ("cancelled", left)
    assert world.in_flight() == {"a": 0, "b": 0}
    assert [record.outcome for record in outcome.attempts] == ["cancelled"]
    assert plan.abort(ValueError(), world.now).result == "failure"


# ── retries ─────────────────────────────────────────────────────────────────────────────────────


def test_second_round_backs_off() -> None:
    """Only when every provider failed once the call backs off, with full jitter, and retries."""
    world = chain("a", "b")
    plan = world.plan("chain")
    assert world.run_attempts(plan, "server", "server") == ["a", "b"]
    assert 0.0 < world.pass_wait(plan) <= 0.5
    assert world.run_attempts(plan, "server", "server") == ["a", "b"]
    assert world.pass_wait(plan) <= 1.0
    assert world.run_attempts(plan, "ok") == ["a"]


def test_early_timer_keeps_waiting() -> None:
    """Woken before the backoff is over, as by coarse timers, the plan keeps waiting."""
    for verdict in (failing("server"), failing("rate_limit", 2.0)):
        for retries in (0, 1):
            world = chain("a", retries=retries)
            plan = world.plan("chain")
            world.fail(plan, world.next_attempt(plan), verdict)
            until = world.next_wait(plan).until
            world.now = math.nextafter(until, 0.0)
            assert world.next_wait(plan).until == until
            world.now = until
            assert world.next_attempt(plan).why == f"retry after {verdict.kind}"


def test_short_cooldown_is_waited_for() -> None:
    """With the others open and one cooling down for 2 s, the call waits exactly 2 s."""
    world = World([provider(n) for n in "abc"], circuit=FIXED)
    world.trip("a", "b")
    plan = world.plan()
    world.fail(plan, world.next_attempt(plan), failing("rate_limit", 2.0))
    assert world.pass_wait(plan) == pytest.approx(2.0)
    assert world.run_attempts(plan, "ok") == ["c"]


def test_long_cooldown_is_not_waited_for() -> None:
    """A Retry-After over `max_retry_after` ends the call at once, with the provider's error."""
    world = calm("a", retry=RetryPolicy(max_retry_after=30.0))
    plan = world.plan()
    error = world.fail(plan, world.next_attempt(plan), failing("rate_limit", 30.5))
    outcome = world.next_outcome(plan)
    assert outcome.error is not None
    assert outcome.error.__cause__ is error
    assert outcome.error.retry_after == pytest.approx(30.5)
    patient = calm("a", retry=RetryPolicy(max_retry_after=31.0))
    plan = patient.plan()
    patient.fail(plan, patient.next_attempt(plan), failing("rate_limit", 30.5))
    assert patient.pass_wait(plan) == pytest.approx(30.5)


def test_backoff_never_passes_the_deadline() -> None:
    """Case 63: a backoff that would pass the deadline is skipped; the last error comes now."""
    world = calm("a", timeout=2.0)
    plan = world.plan()
    error = world.fail(plan, world.next_attempt(plan), failing("rate_limit", 2.0))
    outcome = world.next_outcome(plan)
    assert isinstance(outcome.error, AllProvidersFailed)
    assert outcome.error.__cause__ is error
    assert outcome.elapsed == 0.0
    assert len(outcome.error.attempts) == 1
    assert world.retry_denials() == ["deadline"]
    assert "it would exceed the call's timeout" in str(outcome.error)


def test_call_ends_at_its_deadline() -> None:
    """Case 72: at the deadline the plan ends with the trail, whatever the next step was."""
    world = chain("a", "b", timeout=10.0)
    plan = world.plan("chain")
    error = world.fail(plan, world.next_attempt(plan), "server", after=10.0)
    outcome = world.next_outcome(plan)
    assert isinstance(outcome.error, CallTimeout)
    assert isinstance(outcome.error, TimeoutError)
    assert outcome.error.__cause__ is error
    assert "within timeout=10 s (a: server after 10.00 s)" in str(outcome.error)
    assert plan.replacement(world.now) is None
    late = world.plan("chain")
    world.succeed(late, world.next_attempt(late), after=11.0)
    assert world.next_outcome(late).ok  # an answer that is there is never thrown away


def test_retries_per_provider() -> None:
    """A failed provider is retried first, after a backoff each time, then the next one."""
    world = chain("a", "b", retries=2)
    plan = world.plan("chain")
    world.fail(plan, world.next_attempt(plan))
    names = []
    for _ in range(2):
        assert 0.0 < world.pass_wait(plan) <= 1.0
        names += world.run_attempts(plan, "server")
    assert names == ["a", "a"]
    assert world.next_attempt(plan).member.name == "b"


def test_a_providers_own_retries_are_not_counted() -> None:
    """Each provider of a chain has all its retries, whatever `attempts` allows; 0 has none."""
    providers = [provider("a", retries=2), provider("b", retries=0), provider("c", retries=2)]
    for attempts in (1, 4):
        world = World(
            providers,
            [Route("chain", ["a", "b", "c"], retries_per_provider=5)],
            circuit=NEVER_TRIPS,
            retry=RetryPolicy(attempts=attempts, budget_floor=100),
        )
        names = world.run_attempts(world.plan("chain"), *["server"] * 7)
        assert names == ["a", "a", "a", "b", "c", "c", "c"]


def test_a_providers_own_retries_are_charged_to_the_budget() -> None:
    """In an outage they do not multiply the traffic."""
    retry = RetryPolicy(budget=0.0, budget_floor=1)
    world = World(
        [provider("a", retries=5), provider("b")],
        [Route("chain", ["a", "b"])],
        circuit=NEVER_TRIPS,
        retry=retry,
    )
    plan = world.plan("chain")
    world.fail(plan, world.next_attempt(plan))
    world.pass_wait(plan)
    assert world.run_attempts(plan, "server") == ["a"]
    assert world.next_attempt(plan).member.name == "b"


def test_a_provider_may_have_its_own_backoff() -> None:
    """Of a second at most for `a`, also above the policy's cap; `b` inherits the policy's."""
    for base, longest in ((100.0, 100.0), (0.0, 0.0), (None, 0.5)):
        waits = []
        for seed in range(40):
            world = World(
                [provider("a", retries=1, backoff=base)],
                circuit=NEVER_TRIPS,
                timeout=1000.0,
                seed=seed,
            )
            plan = world.plan()
            world.fail(plan, world.next_attempt(plan))
            waits.append(world.pass_wait(plan) if base != 0.0 else 0.0)
        assert max(waits) <= longest
        assert max(waits) >= longest * 0.8


def test_retries_per_provider_follow_retry_after() -> None:
    """A short Retry-After is waited for before the retry; a long one fails over."""
    world = chain("a", "b", retries=1)
    plan = world.plan("chain")
    world.fail(plan, world.next_attempt(plan), failing("rate_limit", 3.0))
    assert world.pass_wait(plan) == pytest.approx(3.0)
    assert world.run_attempts(plan, failing("rate_limit", 31.0)) == ["a"]
    assert world.run_attempts(plan, "ok") == ["b"]
    world.now += 40.0
    other = world.plan("chain")
    world.fail(other, world.next_attempt(other), failing("rate_limit", 31.0))
    assert world.next_attempt(other).member.name == "b"


@pytest.mark.parametrize(
    ("verdict", "settings"),
    [
        (failing("timeout"), {}),
        (failing("not_found"), {}),
        (failing("exhausted"), {}),
        (failing("credentials"), {}),
        (failing("server", retried=True), {}),
        (failing("server"), {"timeout": 1e-3}),
        (failing("server"), {"retry": RetryPolicy(attempts=1)}),
        (failing("server"), {"retry": RetryPolicy(budget=0.0, budget_floor=0)}),
    ],
    ids=str,
)
def test_no_backoff_without_a_retry(verdict: Verdict, settings: dict[str, Any]) -> None:
    """Cases 62 and 68: a provider that is not retried causes no backoff; the next is attempted."""
    world = chain("a", "b", retries=3, **settings)
    plan = world.plan("chain")
    world.fail(plan, world.next_attempt(plan), verdict)
    assert world.next_attempt(plan).member.name == "b"


def test_request_retried_by_an_sdk_is_not_retried() -> None:
    """Case 68: a request that an SDK retried is not retried at the same provider."""
    world = calm("a")
    plan = world.plan()
    world.fail(plan, world.next_attempt(plan), failing("server", retried=True))
    assert len(world.next_outcome(plan).attempts) == 1


def test_transport_failure_gets_one_retry() -> None:
    """A transport failure is retried once at that provider, and no third time."""
    world = calm("a", retry=RetryPolicy(attempts=9))
    plan = world.plan()
    assert world.run_attempts(plan, "transport", "transport") == ["a", "a"]
    assert world.next_outcome(plan).result == "failure"


def test_circuit_that_opens_during_a_call() -> None:
    """Case 64: a provider whose circuit opened is not retried; rejections use no attempts.

    The call's own failures count once; that of another call opens the circuit.
    """
    trips = CircuitPolicy(failures=2, growth=1)
    route = Route("chain", ["a", "b", "c"], retries_per_provider=5)
    world = World(
        [provider("a"), provider("b"), provider("c")],
        [route],
        circuit=trips,
        retry=RetryPolicy(attempts=3),
    )
    world.trip("b")
    plan = world.plan("chain")
    assert world.run_attempts(plan, "server", "server") == ["a", "a"]
    world.run_call("a")
    assert world.run_attempts(plan, "server", "ok") == ["c", "c"]
    assert world.next_outcome(plan).ok
