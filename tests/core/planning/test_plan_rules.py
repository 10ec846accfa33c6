"""Rules in a plan: request faults, larger windows, non-idempotent calls, events."""

from __future__ import annotations

import pytest

from multirouter.core.planning.steps import AttemptStep, WaitStep
from multirouter.core.routes.route import Route
from multirouter.core.settings.failure_rules import RULES, CircuitEffect, Failover, Retry, Rule
from multirouter.core.settings.policies import CircuitPolicy, RetryPolicy
from multirouter.errors import AllProvidersFailed
from multirouter.model import FailureKind
from tests.core.kit import ScriptedError, World, calm, chain, failing, provider

# ── failures caused by the request ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["request", "content_filter"])
def test_request_at_fault_raises_the_original(kind: str) -> None:
    """Case 62: the caller gets the provider's own exception, unchanged."""
    world = chain("a", "b", retries=2)
    plan = world.plan("chain")
    error = world.fail(plan, world.next_attempt(plan), kind)
    assert plan.decided
    outcome = world.next_outcome(plan)
    assert outcome.error is error
    assert isinstance(error, ScriptedError)
    assert not vars(error).get("__notes__")
    assert world.retry_denials() == []
    assert world.states.gates["a"].circuit.window.failures == 0


def test_route_rules_override() -> None:
    """Case 62: whether a failure fails over is separate from whether it is retried."""
    elsewhere = Rule(
        retry=Retry.NEVER,
        failover=Failover.AT_ONCE,
        circuit=CircuitEffect.NEUTRAL,
        side_effects_possible=False,
    )
    only_here = Rule(
        retry=Retry.BACKOFF,
        failover=Failover.NEVER,
        circuit=CircuitEffect.NEUTRAL,
        side_effects_possible=False,
    )
    rules = {"content_filter": elsewhere, "not_found": only_here}
    world = calm("a", "b", routes=[Route("lax", ["a", "b"], rules=rules)])
    assert world.run_attempts(world.plan("lax"), "content_filter", "ok") == ["a", "b"]
    assert world.run_attempts(world.plan("lax"), "not_found", "not_found", "ok") == ["a"] * 3


def test_context_length_fails_over_to_larger_windows() -> None:
    """A request that is too long skips windows known to be no larger, and ends with its error."""
    windows = {"a": 8, "b": 4, "c": 8, "d": 32, "e": None}
    world = World(
        [provider(n, context_window=w) for n, w in windows.items()],
        [
            Route("chain", list(windows)),
            Route("unknown", ["e", "b"]),
        ],
    )
    plan = world.plan("chain")
    step = world.next_attempt(plan)
    world.fail(plan, step, "context_length")
    step = world.next_attempt(plan)
    assert step.member.name == "d"
    world.fail(plan, step, "context_length")
    step = world.next_attempt(plan)
    assert step.member.name == "e"  # its window is not known
    error = world.fail(plan, step, "context_length")
    outcome = world.next_outcome(plan)
    assert outcome.error is error
    assert len(outcome.attempts) == 3
    assert world.run_attempts(world.plan("unknown"), "context_length", "ok") == ["e", "b"]


def test_mixed_failures_raise_all_providers_failed() -> None:
    """When others failed for other reasons, the error is AllProvidersFailed."""
    world = chain("a", "b", retry=RetryPolicy(attempts=1))
    plan = world.plan("chain")
    world.run_attempts(plan, "server", "context_length")
    assert isinstance(world.next_outcome(plan).error, AllProvidersFailed)


def test_classified_as_cancelled_ends_the_call() -> None:
    """An error that `classify=` calls cancelled is neutral, raised, and not retried."""
    world = chain("a", "b")
    plan = world.plan("chain")
    error = world.fail(plan, world.next_attempt(plan), "cancelled")
    assert world.next_outcome(plan).error is error
    assert world.states.gates["a"].circuit.window.calls == 0


# ── not idempotent ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("kind", [k for k in FailureKind if RULES[k].failover is Failover.AT_ONCE])
def test_non_idempotent_call_is_not_retried(kind: FailureKind, retries: int) -> None:
    """After possible side effects there is no retry, no failover and no backoff."""
    world = chain("a", "b", retries=retries)
    plan = world.plan("chain", idempotent=False)
    error = world.fail(plan, world.next_attempt(plan), failing(kind, retry_after=1.0))
    if RULES[kind].side_effects_possible:
        outcome = world.next_outcome(plan)
        assert outcome.error is not None
        assert outcome.error.__cause__ is error
        assert world.retry_denials() == ["not_idempotent"]
    else:
        assert isinstance(world.step(plan), AttemptStep if not retries else AttemptStep | WaitStep)
        assert world.run_attempts(plan, "ok") is not None


def test_unsent_request_is_retried() -> None:
    """A request that was certainly not sent is repeated even with idempotent=False."""
    world = chain("a", "b")
    plan = world.plan("chain", idempotent=False)
    assert world.run_attempts(plan, failing("transport", unsent=True), "ok") == ["a", "b"]


# ── fallback and events ─────────────────────────────────────────────────────────────────────────


def test_fallback_is_not_ok() -> None:
    """A fallback's outcome has a value and no error, and is not ok."""
    world = World([provider("a")], circuit=CircuitPolicy(failures=1))
    world.trip("a")
    plan = world.plan()
    world.next_outcome(plan)
    outcome = plan.fall_back("sorry", world.now)
    assert (outcome.result, outcome.value, outcome.ok) == ("fallback", "sorry", False)


def test_events_of_a_call() -> None:
    """Attempts are reported as they end, the call once, after everything before it."""
    world = chain("a", "b")
    plan = world.plan("chain")
    world.run_attempts(plan, "server", "ok")
    outcome = world.next_outcome(plan)
    assert world.recorder.kinds == ["attempt_ended", "failed_over", "attempt_ended", "call_ended"]
    assert world.recorder.calls == [outcome]
    assert tuple(world.recorder.attempts) == outcome.attempts
