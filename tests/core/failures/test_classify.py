"""Failure rules, the user's classifier, the package's own errors, groups and causes."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from multirouter.core.failures.classify import (
    RULES,
    CircuitEffect,
    Failover,
    Retry,
    Rule,
    rules_with,
)
from multirouter.errors import (
    AllProvidersFailed,
    AttemptTimeout,
    ConfigurationError,
    NoProviderAvailable,
    ProviderError,
    StreamInterrupted,
    UsageError,
)
from multirouter.model import CANCELLED, REQUEST_KINDS, SUCCESS, FailureKind, Verdict
from tests.core.classification import RecordingClassifier, verdict, with_fields

RULE = Rule(
    retry=Retry.NEVER,
    failover=Failover.AT_ONCE,
    circuit=CircuitEffect.NEUTRAL,
    side_effects_possible=False,
)


# ── failure rules ─────────────────────────────────────────────────────────────────────────────────


def test_every_kind_has_a_row() -> None:
    """The table has one row for each kind and is read-only."""
    assert set(RULES) == set(FailureKind)
    with pytest.raises(TypeError):
        RULES[FailureKind.SERVER] = RULE  # type: ignore[index]


def test_rows_are_consistent() -> None:
    """Cases 7 and 62: the request's own faults are neutral and end the call."""
    own_faults = {
        FailureKind.REFUSAL,
        FailureKind.CONTENT_FILTER,
        FailureKind.REQUEST,
        FailureKind.CANCELLED,
        FailureKind.SUCCESS,
    }
    assert {kind for kind, rule in RULES.items() if rule.failover is Failover.NEVER} == own_faults
    assert all(RULES[kind].circuit is CircuitEffect.NEUTRAL for kind in REQUEST_KINDS)
    for kind, rule in RULES.items():
        assert (rule.circuit is CircuitEffect.SUCCESS) is (kind is FailureKind.SUCCESS)
        if rule.circuit in (CircuitEffect.NEUTRAL, CircuitEffect.TRIP):
            assert rule.retry is Retry.NEVER or kind is FailureKind.INVALID
        if rule.circuit in (CircuitEffect.COOLDOWN, CircuitEffect.TRIP):
            assert not rule.side_effects_possible


def test_docs_match_the_table() -> None:
    """docs/reference/failure-kinds.md has the table of the code."""
    page = (Path(__file__).parents[3] / "docs" / "reference" / "failure-kinds.md").read_text(
        encoding="utf-8"
    )
    rows = re.findall(
        r"^\| `(\w+)` \|[^|]+\| `(\w+)` \| `(\w+)` \| `(\w+)` \| (yes|no) \|$", page, re.MULTILINE
    )
    assert {
        FailureKind(kind): Rule(
            retry=Retry(retry),
            failover=Failover(failover),
            circuit=CircuitEffect(circuit),
            side_effects_possible=effects == "yes",
        )
        for kind, retry, failover, circuit, effects in rows
    } == RULES
    assert [row[0] for row in rows] == [kind.value for kind in RULES]


def test_rules_can_be_replaced_by_kind_and_by_name() -> None:
    """The table itself does not change."""
    rules = rules_with({FailureKind.SERVER: RULE, "request": RULE})
    assert rules[FailureKind.SERVER] is rules[FailureKind.REQUEST] is RULE
    assert rules[FailureKind.TIMEOUT] is RULES[FailureKind.TIMEOUT]
    assert RULES[FailureKind.SERVER] is not RULE


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"sever": RULE}, ["'sever'", "did you mean 'server'?"]),
        ({"zzz": RULE}, ["'zzz'", "unknown failure kind"]),
        ({7: RULE}, ["7", "unknown failure kind"]),
        ({"server": "never"}, ["'server'", "must be a Rule, got 'never'"]),
        ({"success": RULE}, ["'success'", "cannot be replaced"]),
        ({"server": replace(RULE, signs=["x"])}, ["'server'", "only refusals have signs"]),
        ({FailureKind.CANCELLED: RULE}, ["'cancelled'", "cannot be replaced"]),
    ],
)
def test_invalid_rules_are_rejected(overrides: Any, words: list[str]) -> None:
    """An unknown kind is rejected with a suggestion, a wrong value by its name."""
    with pytest.raises(ConfigurationError) as caught:
        rules_with(overrides)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("signs", ["SAFETY", 7, [""], [None]])
def test_invalid_signs_are_rejected(signs: Any) -> None:
    """A list of names is required."""
    with pytest.raises(ConfigurationError, match=r"Rule\.signs"):
        replace(RULE, signs=signs)


def test_signs_are_kept_as_a_tuple() -> None:
    """A rule with signs is hashable, as one without."""
    rule = replace(RULE, signs=["SAFETY"])
    assert rules_with({"refusal": rule})[FailureKind.REFUSAL].signs == ("SAFETY",)
    assert hash(rule)


@pytest.mark.parametrize("field", ["retry", "failover", "circuit", "side_effects_possible"])
def test_invalid_rule_fields_are_rejected(field: str) -> None:
    """The error names the field."""
    fields: dict[str, Any] = {
        "retry": Retry.NEVER,
        "failover": Failover.NEVER,
        "circuit": CircuitEffect.COOLDOWN,
        "side_effects_possible": True,
    }
    with pytest.raises(ConfigurationError, match=f"Rule.{field}: must be"):
        Rule(**fields | {field: "no"})


# ── the user's classifier ─────────────────────────────────────────────────────────────────────────


def test_a_value_is_a_success_by_default() -> None:
    """Without a classifier of the user's, or when it returns None or success."""
    assert RecordingClassifier().classify_value("x") is SUCCESS
    assert RecordingClassifier(lambda error, value: None).classify_value("x") is SUCCESS
    assert RecordingClassifier(lambda error, value: "success").classify_value("x") is SUCCESS


@pytest.mark.parametrize(
    "answer", [FailureKind.OVERLOADED, "overloaded", Verdict(FailureKind.OVERLOADED, 3.0)]
)
def test_a_value_can_be_classified_as_a_failure(answer: Any) -> None:
    """Case 9: a value that means "overloaded" counts as that, though nothing was raised."""
    classifier = RecordingClassifier(lambda error, value: answer if value == "busy" else None)
    assert classifier.classify_value("busy").kind is FailureKind.OVERLOADED
    assert classifier.classify_value("fine") is SUCCESS


def test_the_users_classifier_comes_first() -> None:
    """Its verdict is used as it is; a kind alone keeps status and Retry-After."""
    seen: list[tuple[object, object]] = []

    def user(error: BaseException | None, value: object) -> Any:
        seen.append((error, value))
        return {"a": Verdict(FailureKind.REQUEST, reason="mine"), "b": "rate_limit"}.get(str(error))

    classifier = RecordingClassifier(user)
    fields: dict[str, object] = {"status": 500, "headers": [("Retry-After", "4")]}
    first = with_fields(RuntimeError("a"), **fields)
    assert classifier.classify_error(first).reason == "mine"
    second = classifier.classify_error(with_fields(RuntimeError("b"), **fields))
    assert (second.kind, second.retry_after, second.status) == (FailureKind.RATE_LIMIT, 4.0, 500)
    third = classifier.classify_error(with_fields(RuntimeError("c"), **fields))
    assert (third.kind, third.reason) == (FailureKind.SERVER, "status 500")
    assert seen[0] == (first, None)


@pytest.mark.parametrize("answer", [ValueError("broken"), "no such kind", 7])
def test_a_failing_classifier_makes_the_attempt_a_failure(answer: Any) -> None:
    """Case 8: one that raises, or returns something invalid, is reported, too."""

    def user(error: BaseException | None, value: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    for about_error in (True, False):
        classifier = RecordingClassifier(user)
        found = (
            classifier.classify_error(RuntimeError())
            if about_error
            else classifier.classify_value("x")
        )
        assert found.kind is FailureKind.UNKNOWN
        assert RULES[found.kind].circuit is CircuitEffect.FAILURE
        [error] = classifier.errors
        assert error is answer or isinstance(error, UsageError)


def test_the_users_classifier_is_not_called_for_cancellations() -> None:
    """Case 32: what is no Exception is no failure of a provider."""
    classifier = RecordingClassifier(lambda error, value: "server")
    for error in (KeyboardInterrupt(), SystemExit(), GeneratorExit(), asyncio.CancelledError()):
        assert classifier.classify_error(error) is CANCELLED


# ── the package's own errors ──────────────────────────────────────────────────────────────────────


def test_attempt_timeout_is_a_timeout_with_the_limits_name() -> None:
    """Case 69: so is the router's own limit."""
    found = verdict(AttemptTimeout("a", "first_token", 3.0))
    assert (found.kind, found.reason) == (FailureKind.TIMEOUT, "first_token")


def test_provider_error_keeps_its_kind() -> None:
    """Case 68: and status, Retry-After and the mark of retries."""
    error = ProviderError(
        "x", provider="a", kind=FailureKind.CREDENTIALS, status=403, retry_after=5, retried=True
    )
    found = verdict(error)
    assert (found.kind, found.status, found.retry_after) == (FailureKind.CREDENTIALS, 403, 5.0)
    assert (found.reason, found.certain, found.retried) == ("status 403", False, True)
    coded = verdict(ProviderError("x", provider="a", kind=FailureKind.EXHAUSTED, code="quota"))
    assert (coded.reason, coded.certain) == ("quota", True)
    assert verdict(ProviderError("x", provider="a", kind=FailureKind.INVALID)).reason == "invalid"


def test_provider_error_is_unsent_when_its_cause_is() -> None:
    """For transport errors of an adapter."""
    error = ProviderError("x", provider="a", kind=FailureKind.TRANSPORT)
    assert not verdict(error).unsent
    error.__cause__ = ConnectionRefusedError()
    assert verdict(error).unsent
    error.__cause__ = ConnectionResetError()
    assert not verdict(error).unsent


def test_errors_of_a_router_as_provider() -> None:
    """No available provider is an overload; a failed call has the kind of its cause."""
    rejected = verdict(NoProviderAvailable("x", states={}, retry_after=7.0))
    assert (rejected.kind, rejected.retry_after) == (FailureKind.OVERLOADED, 7.0)
    failed = AllProvidersFailed("x", retry_after=2.0)
    failed.__cause__ = with_fields(status=429)
    assert (verdict(failed).kind, verdict(failed).retry_after) == (FailureKind.RATE_LIMIT, 2.0)
    assert verdict(StreamInterrupted("x", provider="a", chunks=1)).kind is FailureKind.INTERRUPTED


# ── groups and causes ─────────────────────────────────────────────────────────────────────────────

REQUEST, LIMIT = with_fields(status=400), with_fields(status=429)
KEY, SERVER = with_fields(status=401), with_fields(status=500)
REFUSED, RESET = ConnectionRefusedError(), ConnectionResetError()


@pytest.mark.parametrize(
    ("leaves", "kind"),
    [
        ([REQUEST, SERVER, LIMIT], FailureKind.SERVER),
        ([REQUEST, LIMIT, KEY], FailureKind.CREDENTIALS),
        ([REQUEST, LIMIT], FailureKind.RATE_LIMIT),
        ([REQUEST, ExceptionGroup("in", [LIMIT, RESET])], FailureKind.TRANSPORT),
        ([REQUEST], FailureKind.REQUEST),
        ([SERVER, asyncio.CancelledError()], FailureKind.CANCELLED),
        ([BaseExceptionGroup("in", [KeyboardInterrupt()]), SERVER], FailureKind.CANCELLED),
    ],
)
def test_group_takes_the_strongest_leaf(leaves: list[BaseException], kind: FailureKind) -> None:
    """Case 35: a cancellation first, then a failure, then whatever is left."""
    assert verdict(BaseExceptionGroup("x", leaves)).kind is kind


def test_group_is_unsent_when_all_leaves_are_and_retried_when_one_is() -> None:
    """Case 35."""
    assert verdict(ExceptionGroup("x", [REFUSED, ConnectionRefusedError()])).unsent
    assert not verdict(ExceptionGroup("x", [REFUSED, RESET])).unsent
    retried = with_fields(already_retried=True)
    assert verdict(ExceptionGroup("x", [RESET, retried])).retried  # type: ignore[list-item]


def test_an_unknown_error_takes_the_verdict_of_its_cause() -> None:
    """An exception with a sign of its own does not."""
    error = with_fields(RuntimeError("mine"), __cause__=with_fields(__cause__=REFUSED))
    assert (verdict(error).kind, verdict(error).unsent) == (FailureKind.TRANSPORT, True)
    assert verdict(with_fields(already_retried=True, __cause__=RESET)).retried
    assert verdict(with_fields(status=404, __cause__=RESET)).kind is FailureKind.NOT_FOUND


@pytest.mark.parametrize("cause", [ValueError("x"), asyncio.CancelledError()])
def test_an_unknown_cause_leaves_the_error_unknown(cause: BaseException) -> None:
    """A cancellation as the cause is no cancellation."""
    found = verdict(with_fields(__cause__=cause))
    assert (found.kind, found.reason) == (FailureKind.UNKNOWN, "RuntimeError")


def test_cyclic_causes_end() -> None:
    """Causes that refer to each other, through groups too, end the search."""
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert verdict(first).kind is FailureKind.UNKNOWN
    leaves = [RuntimeError(str(n)) for n in range(100)]
    group = ExceptionGroup("x", leaves)
    for leaf in leaves:
        leaf.__cause__ = group
    assert verdict(group).kind is FailureKind.UNKNOWN
