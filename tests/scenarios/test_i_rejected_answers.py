"""Section I: answers that are rejected, by `accept=` or because the model refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from multirouter import (
    RULES,
    Failover,
    FailureKind,
    ProviderError,
    Route,
)
from multirouter.testing import Answer
from tests.scenarios.harness import TRIPS_AT_ONCE, harness, scripted

# ── accept= ─────────────────────────────────────────────────────────────────────────────────────


class Several:
    """As an array of numpy: it has no truth value."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


def accept(answer: object) -> object:
    if answer == "rude":
        return "is rude"
    if answer == "odd":
        raise ValueError("what is this")
    return {"empty": False, "none": 0, "several": Several()}.get(str(answer))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("empty", "accept returned False"),
        ("none", "accept returned int that counts as False"),
        ("several", "accept raised ValueError"),
        ("rude", "is rude"),
        ("odd", "accept raised ValueError"),
    ],
)
async def test_accept_makes_an_answer_invalid(answer: str, reason: str) -> None:
    """A value that counts as False, a string or an exception of `accept=` fails the attempt.

    None accepts the answer, and so does any other value; the circuit ignores a rejection.
    """
    async with harness(
        scripted("a", Answer(answer)), "b", accept=accept, circuit=TRIPS_AT_ONCE
    ) as env:
        outcome = await env.outcome("a", "b")
        assert outcome.provider == "b"
        assert str(outcome.attempts[0].verdict.kind) == "invalid"
        assert outcome.attempts[0].verdict.reason == reason
        assert env.state("a") == "closed"


async def test_accept_of_a_route_comes_first() -> None:
    """A route's `accept=` replaces the router's."""
    routes = [Route("default", ["a", "b"], accept=lambda answer: answer != "a: q")]
    async with harness("a", "b", routes=routes, accept=lambda answer: True) as env:
        assert await env.router.call("q") == "b: q"
        assert await env.call("a") == "a: q"


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────

REFUSAL = {"choices": [{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]}
ELSEWHERE = {"refusal": replace(RULES[FailureKind.REFUSAL], failover=Failover.AT_ONCE)}


async def test_refusal_is_an_answer_by_default() -> None:
    """No answer is inspected unless the route asks for it."""
    async with harness(scripted("a", Answer(REFUSAL)), "b") as env:
        outcome = await env.outcome("a", "b")
        assert (outcome.provider, outcome.value) == ("a", REFUSAL)


async def test_refusal_fails_over_where_the_route_opts_in() -> None:
    """It is neutral for the circuit, and not retried at the same provider."""
    route = Route("default", ["a", "b"], rules=ELSEWHERE, retries_per_provider=3)
    refuses = scripted("a", Answer(REFUSAL), Answer(REFUSAL))
    async with harness(refuses, "b", routes=[route], circuit=TRIPS_AT_ONCE) as env:
        outcome = await env.router.call_outcome("q")
        assert [record.provider for record in outcome.attempts] == ["a", "b"]
        verdict = outcome.attempts[0].verdict
        assert (verdict.kind, verdict.reason) == (FailureKind.REFUSAL, "message.refusal")
        assert env.state("a") == "closed"
        env["b"].then(Answer(REFUSAL))
        with pytest.raises(ProviderError, match="counts as refusal") as caught:
            await env.router.call("q")
        assert caught.value.kind is FailureKind.REFUSAL


async def test_accept_judges_answers_that_are_no_refusals() -> None:
    """A route may have both."""
    route = Route("default", ["a", "b"], rules=ELSEWHERE, accept=lambda answer: answer != "bad")
    async with harness(scripted("a", Answer("bad")), "b", routes=[route]) as env:
        outcome = await env.router.call_outcome("q")
        assert outcome.attempts[0].verdict.kind is FailureKind.INVALID
