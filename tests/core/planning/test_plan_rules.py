"""What a plan makes of the kinds: faults of the request, larger windows, one try only, news."""

from __future__ import annotations

import pytest

from multirouter.core.planning.steps import AttemptStep, WaitStep
from multirouter.core.routes.route import Route
from multirouter.core.settings.failure_rules import RULES, CircuitEffect, Failover, Retry, Rule
from multirouter.core.settings.policies import CircuitPolicy, RetryPolicy
from multirouter.errors import AllProvidersFailed
from multirouter.model import FailureKind
from tests.core.kit import Broke, World, calm, chain, failing, provider

# ── what nobody else mends ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["request", "content_filter"])
def test_the_requests_own_fault(kind: str) -> None:
    """Case 62: the caller's own exception comes back untouched, with a note of who refused it."""
    world = chain("a", "b", retries=2)
    plan = world.plan("chain")
    error = world.fails(plan, world.trying(plan), kind)
    assert plan.decided
    outcome = world.ended(plan)
    assert outcome.error is error
    assert isinstance(error, Broke)
    (note,) = error.__notes__
    assert note == (
        f"multirouter: attempt 1 at 'a' on route 'chain'; {kind} is the request's own fault, "
        "no other provider would mend it"
    )
    assert world.refusals() == []
    assert world.memory.gates["a"].circuit.window.failures == 0


def test_a_route_may_say_otherwise() -> None:
    """Case 62: whether an error that no retry mends goes elsewhere is a setting of its own."""
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
    assert world.asked(world.plan("lax"), "content_filter", "ok") == ["a", "b"]
    assert world.asked(world.plan("lax"), "not_found", "not_found", "ok") == ["a"] * 3


def test_only_a_larger_window() -> None:
    """A request that was too long goes to larger windows only, and fails with its own error."""
    windows = {"a": 8, "b": 4, "c": 8, "d": 32, "e": None}
    world = World(
        [provider(n, context_window=w) for n, w in windows.items()],
        [
            Route("chain", list(windows)),
            Route("unknown", ["e", "b"]),
        ],
    )
    plan = world.plan("chain")
    step = world.trying(plan)
    world.fails(plan, step, "context_length")
    step = world.trying(plan)
    assert step.member.name == "d"
    error = world.fails(plan, step, "context_length")
    outcome = world.ended(plan)
    assert outcome.error is error
    assert len(outcome.attempts) == 2
    assert world.asked(world.plan("unknown"), "context_length", "ok") == ["e", "b"]


def test_a_mixed_trail_is_no_fault_of_the_request() -> None:
    """Where others failed for reasons of their own, the whole trail is the error."""
    world = chain("a", "b", retry=RetryPolicy(attempts=1))
    plan = world.plan("chain")
    world.asked(plan, "server", "context_length")
    assert isinstance(world.ended(plan).error, AllProvidersFailed)


def test_a_user_verdict_of_cancelled_ends_the_call() -> None:
    """An error that `classify=` calls cancelled is neutral and raised; nobody is asked for ever."""
    world = chain("a", "b")
    plan = world.plan("chain")
    error = world.fails(plan, world.trying(plan), "cancelled")
    assert world.ended(plan).error is error
    assert world.memory.gates["a"].circuit.window.calls == 0


# ── not idempotent ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("kind", [k for k in FailureKind if RULES[k].failover is Failover.AT_ONCE])
def test_idempotent_false(kind: FailureKind, retries: int) -> None:
    """After an attempt that may have acted nothing is asked again, and nothing rested for."""
    world = chain("a", "b", retries=retries)
    plan = world.plan("chain", idempotent=False)
    error = world.fails(plan, world.trying(plan), failing(kind, retry_after=1.0))
    if RULES[kind].side_effects_possible:
        outcome = world.ended(plan)
        assert outcome.error is not None
        assert outcome.error.__cause__ is error
        assert world.refusals() == ["not_idempotent"]
    else:
        assert isinstance(world.step(plan), AttemptStep if not retries else AttemptStep | WaitStep)
        assert world.asked(plan, "ok") is not None


def test_unsent_is_safe_to_repeat() -> None:
    """A request that surely never left may be repeated even when it is not idempotent."""
    world = chain("a", "b")
    plan = world.plan("chain", idempotent=False)
    assert world.asked(plan, failing("transport", unsent=True), "ok") == ["a", "b"]


# ── a substitute, and the news ──────────────────────────────────────────────────────────────────


def test_a_substitute_is_no_success() -> None:
    """A fallback's outcome has its value and no error, and is not ok."""
    world = World([provider("a")], circuit=CircuitPolicy(failures=1))
    world.trip("a")
    plan = world.plan()
    world.ended(plan)
    outcome = plan.fallen_back("sorry", world.now)
    assert (outcome.result, outcome.value, outcome.ok) == ("fallback", "sorry", False)


def test_the_news_of_a_call() -> None:
    """Attempts are told as they end, the call once, after everything that led to it."""
    world = chain("a", "b")
    plan = world.plan("chain")
    world.asked(plan, "server", "ok")
    outcome = world.ended(plan)
    assert world.heard.kinds == ["attempt_ended", "failed_over", "attempt_ended", "call_ended"]
    assert world.heard.calls == [outcome]
    assert tuple(world.heard.attempts) == outcome.attempts
