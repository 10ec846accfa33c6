"""What a verdict keeps of the exceptions in a group, of causes, and beside the user's own kind."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.errors import UsageError
from multirouter.model import FailureKind
from tests.core.classification import RecordingClassifier, verdict, with_fields

MOST = 32
"""Exceptions of a group that are read."""


def chained(error: BaseException, times: int) -> BaseException:
    """An exception that says nothing, with this one as the cause of its cause, and so on."""
    for _ in range(times):
        error = with_fields(RuntimeError("x"), __cause__=error)
    return error


def test_a_kind_of_the_user_keeps_what_else_is_known() -> None:
    """Whether the request was sent and retried; the reason says who decided."""
    classifier = RecordingClassifier(lambda error, value: "server")
    unsent = classifier.classify_error(ConnectionRefusedError())
    assert (unsent.kind, unsent.reason) == (FailureKind.SERVER, "classify")
    assert (unsent.unsent, unsent.retried) == (True, False)
    retried = classifier.classify_error(with_fields(already_retried=True))
    assert (retried.unsent, retried.retried) == (False, True)


def test_the_error_of_a_classifier_names_the_setting_and_the_value() -> None:
    """A value of another type, and a coroutine that nothing awaits."""

    async def later() -> str:
        return "server"

    answers: list[tuple[Any, str]] = [
        (7, "classify= must return a Verdict, a FailureKind or its value, or None, got 7"),
        (later(), "classify= must be a plain function, but it returned a coroutine"),
    ]
    for answer, message in answers:
        classifier = RecordingClassifier(lambda error, value, answer=answer: answer)
        assert classifier.classify_error(RuntimeError()).kind is FailureKind.UNKNOWN
        [error] = classifier.errors
        assert isinstance(error, UsageError | TypeError)
        assert str(error).startswith(message)


def test_a_group_keeps_all_of_its_strongest_leaf() -> None:
    """Status, wait, reason, and whether one such answer proves the kind."""
    forbidden = with_fields(status=403, headers={"Retry-After": "9"})
    found = verdict(ExceptionGroup("x", [with_fields(status=404), forbidden]))  # type: ignore[list-item]
    assert (found.kind, found.status, found.retry_after) == (FailureKind.CREDENTIALS, 403, 9.0)
    assert (found.reason, found.certain) == ("status 403", False)


def test_leaves_of_a_nested_group_stand_before_those_that_follow_it() -> None:
    """None is lost, and none beyond the limit is read."""
    request, server = with_fields(status=400), with_fields(status=500)
    nested = [ExceptionGroup("in", [request]), server]  # type: ignore[list-item]
    assert verdict(ExceptionGroup("x", nested)).kind is FailureKind.SERVER  # type: ignore[arg-type]
    for before, kind in ((MOST - 1, FailureKind.SERVER), (MOST, FailureKind.REQUEST)):
        leaves = [*[request] * before, server]
        assert verdict(BaseExceptionGroup("x", leaves)).kind is kind
        nested = [BaseExceptionGroup("in", [request] * before), server]
        assert verdict(BaseExceptionGroup("x", nested)).kind is kind


def test_a_wrapped_failure_is_that_of_its_cause() -> None:
    """With its status, its reason and its certainty, however deep; the own wait comes first."""
    forbidden = with_fields(status=403, headers={"Retry-After": "9"})
    for times in (1, 4):
        found = verdict(chained(forbidden, times))
        assert (found.kind, found.status, found.retry_after) == (FailureKind.CREDENTIALS, 403, 9.0)
        assert (found.reason, found.certain) == ("status 403", False)
    waits = with_fields(RuntimeError("x"), retry_after=4, __cause__=forbidden)
    assert verdict(waits).retry_after == 4.0


def test_causes_are_followed_to_a_bounded_depth() -> None:
    """A long chain is no error, and what is at its end is not read."""
    assert verdict(chained(with_fields(status=500), 100)).kind is FailureKind.UNKNOWN
    loop = RuntimeError("x")
    loop.__cause__ = chained(loop, 3)
    assert verdict(loop).kind is FailureKind.UNKNOWN


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (with_fields(status=429, headers={"x-ratelimit-reset-requests": "7s"}), 7.0),
        (with_fields(status=500, headers={"x-ratelimit-reset-requests": "7s"}), None),
        (with_fields(status=429, headers={"ratelimit-reset": "2023-11-14T22:13:30Z"}), 10.0),
        (with_fields(status=500, headers={"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT"}), 10.0),
        (RuntimeError("try again in 5 seconds"), 5.0),
    ],
)
def test_where_a_wait_is_read(error: BaseException, wait: float | None) -> None:
    """The reset of a rate limit is a wait after a 429 only; a date is one from now."""
    assert verdict(error).retry_after == wait


def test_a_text_that_names_a_wait_is_a_rate_limit() -> None:
    """Where an exception has nothing else."""
    found = verdict(RuntimeError("try again in 5 seconds"))
    assert (found.kind, found.reason) == (FailureKind.RATE_LIMIT, "retry after")
