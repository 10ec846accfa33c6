"""The table of kinds, the user's classifier, the package's own errors, groups and causes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multirouter.core.failures.classify import (
    RULES,
    CircuitEffect,
    Classifier,
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
from multirouter.model import CANCELLED, SUCCESS, FailureKind, Verdict

RULE = Rule(
    retry=Retry.NEVER,
    failover=Failover.AT_ONCE,
    circuit=CircuitEffect.NEUTRAL,
    side_effects_possible=False,
)


class Judge:
    """A classifier that remembers what broke."""

    def __init__(self, user: Callable[[BaseException | None, object], Any] | None = None) -> None:
        self.broken: list[Exception] = []
        self.of = Classifier(user, wall=lambda: 0.0, broken=self.broken.append)


def verdict(error: BaseException) -> Verdict:
    judge = Judge()
    found = judge.of.error(error)
    assert not judge.broken
    return found


def with_fields(error: BaseException | None = None, **fields: object) -> BaseException:
    error = error or RuntimeError("x")
    for name, value in fields.items():
        setattr(error, name, value)
    return error


# ── the table ───────────────────────────────────────────────────────────────────────────────────


def test_every_kind_has_a_row() -> None:
    """The table has one row a kind and cannot be written to."""
    assert set(RULES) == set(FailureKind)
    with pytest.raises(TypeError):
        RULES[FailureKind.SERVER] = RULE  # type: ignore[index]


def test_rows_agree_with_each_other() -> None:
    """Case 7, 62: what is the request's fault is neutral and ends there, the rest goes on."""
    fault = {
        FailureKind.CONTENT_FILTER,
        FailureKind.REQUEST,
        FailureKind.CANCELLED,
        FailureKind.SUCCESS,
    }
    assert {kind for kind, rule in RULES.items() if rule.failover is Failover.NEVER} == fault
    for kind, rule in RULES.items():
        assert (rule.circuit is CircuitEffect.SUCCESS) is (kind is FailureKind.SUCCESS)
        if rule.circuit in (CircuitEffect.NEUTRAL, CircuitEffect.TRIP):
            assert rule.retry is Retry.NEVER
        if rule.circuit in (CircuitEffect.COOL, CircuitEffect.TRIP):
            assert not rule.side_effects_possible


def test_page_matches_table() -> None:
    """docs/kinds.md shows the table as it is in the code."""
    page = (Path(__file__).parents[3] / "docs" / "kinds.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \|[^|]+\| `(\w+)` \| `(\w+)` \| `(\w+)` \| (yes|no) \|$", page, re.MULTILINE
    )
    assert {
        FailureKind(kind): Rule(
            retry=Retry(same),
            failover=Failover(other),
            circuit=CircuitEffect(circuit),
            side_effects_possible=acted == "yes",
        )
        for kind, same, other, circuit, acted in rows
    } == RULES
    assert [row[0] for row in rows] == [kind.value for kind in RULES]


def test_rules_with() -> None:
    """Rows can be replaced by kind and by name; the table itself stays as it was."""
    rules = rules_with({FailureKind.SERVER: RULE, "request": RULE})
    assert rules[FailureKind.SERVER] is rules[FailureKind.REQUEST] is RULE
    assert rules[FailureKind.TIMEOUT] is RULES[FailureKind.TIMEOUT]
    assert RULES[FailureKind.SERVER] is not RULE


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"sever": RULE}, ["'sever'", "did you mean 'server'?"]),
        ({"zzz": RULE}, ["'zzz'", "no such kind"]),
        ({7: RULE}, ["7", "no such kind"]),
        ({"server": "never"}, ["'server'", "must be a Rule, not 'never'"]),
        ({"success": RULE}, ["'success'", "cannot be replaced"]),
        ({FailureKind.CANCELLED: RULE}, ["'cancelled'", "cannot be replaced"]),
    ],
)
def test_rules_refused(overrides: Any, words: list[str]) -> None:
    """A row for an unknown kind is refused with the near miss, a wrong value by name."""
    with pytest.raises(ConfigurationError) as caught:
        rules_with(overrides)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("field", ["same", "other", "circuit", "side_effects_possible"])
def test_rule_fields_refused(field: str) -> None:
    """A rule with a wrong field is refused, naming it."""
    fields: dict[str, Any] = {
        "same": Retry.NEVER,
        "other": Failover.NEVER,
        "circuit": CircuitEffect.COOL,
        "side_effects_possible": True,
    }
    with pytest.raises(ConfigurationError, match=f"Rule.{field}: must be a"):
        Rule(**fields | {field: "no"})


# ── the user's classifier ───────────────────────────────────────────────────────────────────────


def test_value_without_user() -> None:
    """A returned value is the shared success when no user has an opinion."""
    assert Judge().of.value("x") is SUCCESS
    assert Judge(lambda error, value: None).of.value("x") is SUCCESS
    assert Judge(lambda error, value: "success").of.value("x") is SUCCESS


@pytest.mark.parametrize(
    "said", [FailureKind.OVERLOADED, "overloaded", Verdict(FailureKind.OVERLOADED, 3.0)]
)
def test_value_that_means_failure(said: Any) -> None:
    """Case 9: a value that means "overloaded" counts as that, though nothing was raised."""
    judge = Judge(lambda error, value: said if value == "busy" else None)
    assert judge.of.value("busy").kind is FailureKind.OVERLOADED
    assert judge.of.value("fine") is SUCCESS


def test_user_is_asked_first() -> None:
    """The user's word goes before ours; a bare kind keeps status and Retry-After."""
    seen: list[tuple[object, object]] = []

    def user(error: BaseException | None, value: object) -> Any:
        seen.append((error, value))
        return {"a": Verdict(FailureKind.REQUEST, reason="mine"), "b": "rate_limit"}.get(str(error))

    judge = Judge(user)
    fields: dict[str, object] = {"status": 500, "headers": [("Retry-After", "4")]}
    first = with_fields(RuntimeError("a"), **fields)
    assert judge.of.error(first).reason == "mine"
    second = judge.of.error(with_fields(RuntimeError("b"), **fields))
    assert (second.kind, second.retry_after, second.status) == (FailureKind.RATE_LIMIT, 4.0, 500)
    third = judge.of.error(with_fields(RuntimeError("c"), **fields))
    assert (third.kind, third.reason) == (FailureKind.SERVER, "status 500")
    assert seen[0] == (first, None)


@pytest.mark.parametrize("said", [ValueError("broken"), "no such kind", 7])
def test_user_that_breaks(said: Any) -> None:
    """Case 8: a classifier that raises, or talks nonsense, makes a failure, and is reported."""

    def user(error: BaseException | None, value: object) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    for about_error in (True, False):
        judge = Judge(user)
        found = judge.of.error(RuntimeError()) if about_error else judge.of.value("x")
        assert found.kind is FailureKind.UNKNOWN
        assert RULES[found.kind].circuit is CircuitEffect.FAILURE
        [broken] = judge.broken
        assert broken is said or isinstance(broken, UsageError)


def test_user_is_not_asked_about_leaving() -> None:
    """Case 32: what is no Exception is nobody's failure, whatever the user's classifier says."""
    judge = Judge(lambda error, value: "server")
    for error in (KeyboardInterrupt(), SystemExit(), GeneratorExit(), asyncio.CancelledError()):
        assert judge.of.error(error) is CANCELLED


# ── the package's own errors ────────────────────────────────────────────────────────────────────


def test_attempt_timeout() -> None:
    """Case 69: the router's own limit is a timeout of the provider, by the limit's name."""
    found = verdict(AttemptTimeout("a", "first_token", 3.0))
    assert (found.kind, found.reason) == (FailureKind.TIMEOUT, "first_token")


def test_provider_error() -> None:
    """Case 68: an adapter's error keeps its kind, status, delay and mark of retries."""
    error = ProviderError(
        "x", provider="a", kind=FailureKind.CREDENTIALS, status=403, retry_after=5, retried=True
    )
    found = verdict(error)
    assert (found.kind, found.status, found.retry_after) == (FailureKind.CREDENTIALS, 403, 5.0)
    assert (found.reason, found.certain, found.retried) == ("status 403", False, True)
    coded = verdict(ProviderError("x", provider="a", kind=FailureKind.EXHAUSTED, code="quota"))
    assert (coded.reason, coded.certain) == ("quota", True)
    assert verdict(ProviderError("x", provider="a", kind=FailureKind.INVALID)).reason == "invalid"


def test_provider_error_unsent() -> None:
    """An adapter's transport error is unsent when its cause is."""
    error = ProviderError("x", provider="a", kind=FailureKind.TRANSPORT)
    assert not verdict(error).unsent
    error.__cause__ = ConnectionRefusedError()
    assert verdict(error).unsent
    error.__cause__ = ConnectionResetError()
    assert not verdict(error).unsent


def test_router_as_provider() -> None:
    """A provider that is itself a router: its refusal is an overload, its failure its cause's."""
    refused = verdict(NoProviderAvailable("x", states={}, retry_after=7.0))
    assert (refused.kind, refused.retry_after) == (FailureKind.OVERLOADED, 7.0)
    failed = AllProvidersFailed("x", retry_after=2.0)
    failed.__cause__ = with_fields(status=429)
    assert (verdict(failed).kind, verdict(failed).retry_after) == (FailureKind.RATE_LIMIT, 2.0)
    assert verdict(StreamInterrupted("x", provider="a", chunks=1)).kind is FailureKind.INTERRUPTED


# ── groups and causes ───────────────────────────────────────────────────────────────────────────

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
def test_group(leaves: list[BaseException], kind: FailureKind) -> None:
    """Case 35: a cancellation among the leaves wins, then a failure, then what is left."""
    assert verdict(BaseExceptionGroup("x", leaves)).kind is kind


def test_group_flags() -> None:
    """Case 35: a group is unsent when all its leaves are, and retried when one is."""
    assert verdict(ExceptionGroup("x", [REFUSED, ConnectionRefusedError()])).unsent
    assert not verdict(ExceptionGroup("x", [REFUSED, RESET])).unsent
    retried = with_fields(already_retried=True)
    assert verdict(ExceptionGroup("x", [RESET, retried])).retried  # type: ignore[list-item]


def test_cause_speaks_for_silent_error() -> None:
    """An exception that says nothing itself is judged by what it was raised from."""
    error = with_fields(RuntimeError("mine"), __cause__=with_fields(__cause__=REFUSED))
    assert (verdict(error).kind, verdict(error).unsent) == (FailureKind.TRANSPORT, True)
    assert verdict(with_fields(already_retried=True, __cause__=RESET)).retried
    assert verdict(with_fields(status=404, __cause__=RESET)).kind is FailureKind.NOT_FOUND


@pytest.mark.parametrize("cause", [ValueError("x"), asyncio.CancelledError()])
def test_cause_without_a_word(cause: BaseException) -> None:
    """A cause that says nothing either leaves the error unknown; a cancelled one is no cancel."""
    found = verdict(with_fields(__cause__=cause))
    assert (found.kind, found.reason) == (FailureKind.UNKNOWN, "RuntimeError")


def test_cyclic_causes() -> None:
    """Causes that refer to each other, through groups too, end the search and not the process."""
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert verdict(first).kind is FailureKind.UNKNOWN
    leaves = [RuntimeError(str(n)) for n in range(100)]
    group = ExceptionGroup("x", leaves)
    for leaf in leaves:
        leaf.__cause__ = group
    assert verdict(group).kind is FailureKind.UNKNOWN
