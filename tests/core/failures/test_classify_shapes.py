"""Verdicts on exceptions of any shape, hostile ones included."""

from __future__ import annotations

import enum
import gc
import http
import re
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multirouter.core.failures.classify import RULES
from multirouter.core.failures.exception_details import ExceptionDetails
from multirouter.errors import ProviderError
from multirouter.model import FailureKind
from tests.core.classification import RecordingClassifier, verdict, with_fields

# ── attributes ────────────────────────────────────────────────────────────────────────────────────


class Grpc(enum.Enum):
    RESOURCE_EXHAUSTED = 8


@pytest.mark.parametrize(
    ("fields", "kind", "status"),
    [
        ({"status": 503}, FailureKind.OVERLOADED, 503),
        ({"status_code": 429}, FailureKind.RATE_LIMIT, 429),
        ({"status": "404"}, FailureKind.NOT_FOUND, 404),
        ({"status": http.HTTPStatus.BAD_GATEWAY}, FailureKind.SERVER, 502),
        ({"code": 500}, FailureKind.SERVER, 500),
        ({"status": "RESOURCE_EXHAUSTED"}, FailureKind.RATE_LIMIT, None),
        ({"status": Grpc.RESOURCE_EXHAUSTED}, FailureKind.RATE_LIMIT, None),
        ({"status": True}, FailureKind.UNKNOWN, None),
        ({"status": 7}, FailureKind.UNKNOWN, None),
        ({"status": 99999}, FailureKind.UNKNOWN, None),
        ({"status": 429, "code": "insufficient_quota"}, FailureKind.EXHAUSTED, 429),
        ({"response": SimpleNamespace(status=529)}, FailureKind.OVERLOADED, 529),
        ({"response": SimpleNamespace(status_code=200)}, FailureKind.TRANSPORT, 200),
        ({"body": b'{"error":{"code":"insufficient_quota"}}'}, FailureKind.EXHAUSTED, None),
        ({"body": {"__type": "com.amazon#ThrottlingException"}}, FailureKind.RATE_LIMIT, None),
        ({"body": "{not json", "status": 400}, FailureKind.REQUEST, 400),
        ({"body": "[" * 5000, "status": 400}, FailureKind.REQUEST, 400),
        ({"body": "prompt is too long", "status": 400}, FailureKind.CONTEXT_LENGTH, 400),
        ({"body": {"messages": [{"code": "insufficient_quota"}]}}, FailureKind.UNKNOWN, None),
        ({"body": [{"error": "prompt is too long"}]}, FailureKind.CONTEXT_LENGTH, None),
        ({"body": {1: 2, "error": {"status": "UNAVAILABLE"}}}, FailureKind.OVERLOADED, None),
    ],
)
def test_attributes(fields: dict[str, object], kind: FailureKind, status: int | None) -> None:
    """An exception of any class is read by the attributes that such exceptions have."""
    found = verdict(with_fields(**fields))
    assert (found.kind, found.status) == (kind, status)


@pytest.mark.parametrize("status", [*range(400, 600)])
def test_every_failing_status(status: int) -> None:
    """Case 62: below 500 a named kind or the request's fault, from 500 on the server's."""
    found = verdict(with_fields(status=status))
    assert found.reason == f"status {status}"
    assert found.certain is (status != 403)
    if status >= 500:
        assert found.kind in (FailureKind.SERVER, FailureKind.OVERLOADED)


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "9"},
        [("RETRY-AFTER", "9")],
        [(b"retry-after", b"9")],
        {"retry-after": 9},
    ],
)
def test_headers_of_any_shape(headers: object) -> None:
    """Mappings and pairs, of text, bytes or numbers, in any case."""
    assert verdict(with_fields(status=429, headers=headers)).retry_after == 9.0


def test_delay_fields() -> None:
    """`retry_after` of the exception or of its body counts; the message comes last."""
    assert verdict(with_fields(status=429, retry_after=3)).retry_after == 3.0
    assert verdict(with_fields(status=429, body={"retry_after": 4})).retry_after == 4.0
    message = RuntimeError("Please try again in 20s.")
    assert verdict(with_fields(message, status=429)).retry_after == 20.0
    assert verdict(with_fields(RuntimeError(str(message)), status=400)).retry_after is None


@pytest.mark.parametrize("mark", [False, 1, "yes", None])
def test_already_retried_must_be_true(mark: object) -> None:
    """Case 68: `already_retried = True` marks an error; no other value does."""
    assert verdict(with_fields(status=500, already_retried=True)).retried
    assert not verdict(with_fields(status=500, already_retried=mark)).retried


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("the rate limit of this host is reached", FailureKind.RATE_LIMIT),
        ("the model is overloaded, come back later", FailureKind.OVERLOADED),
        ("this host is temporarily unavailable", FailureKind.OVERLOADED),
        ("the model is busy", FailureKind.UNKNOWN),
    ],
)
def test_words_of_a_plain_exception(text: str, kind: FailureKind) -> None:
    """An exception with nothing but a text is read last, for words about the load only."""
    assert verdict(RuntimeError(text)).kind is kind


# ── hostile objects ───────────────────────────────────────────────────────────────────────────────


class Raising(Exception):
    """Every attribute raises, the message too."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return super().__getattribute__(name)
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("str")


class Endless(Mapping[str, object]):
    """A mapping that never ends."""

    def __getitem__(self, key: str) -> object:
        return self

    def __iter__(self) -> Iterator[str]:
        while True:
            yield "error"

    def __len__(self) -> int:
        return 1


def test_attributes_that_raise() -> None:
    """Attributes and messages that raise count as absent."""
    assert verdict(Raising()).kind is FailureKind.UNKNOWN


def test_endless_and_cyclic_bodies() -> None:
    """Bodies and headers without an end are read up to a limit."""
    cyclic: dict[str, object] = {"code": "insufficient_quota"}
    cyclic["error"] = cyclic
    assert verdict(with_fields(body=cyclic)).kind is FailureKind.EXHAUSTED
    assert (
        verdict(with_fields(body=Endless(), headers=Endless(), status=500)).kind
        is FailureKind.SERVER
    )
    assert verdict(with_fields(response=Endless(), request=Endless())).kind is FailureKind.UNKNOWN


def test_giant_bodies() -> None:
    """Of a huge body or message only a prefix is kept."""
    giant = '{"error": "' + "x" * 5_000_000 + '"}'
    for error in (with_fields(body=giant, status=400), RuntimeError(giant)):
        assert len(ExceptionDetails(error).text) <= 4096
        assert verdict(error).kind in (FailureKind.REQUEST, FailureKind.UNKNOWN)


def test_an_exception_that_cannot_be_read_is_unknown() -> None:
    """What reading it raised is reported."""

    class Unreadable(RuntimeError):
        status = 0

        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise RuntimeError("gotcha")

    classifier = RecordingClassifier()
    found = classifier.classify_error(Unreadable())
    assert (found.kind, found.reason) == (FailureKind.UNKNOWN, "Unreadable")
    assert [str(error) for error in classifier.errors] == ["gotcha"]


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.sampled_from([*FailureKind, Grpc.RESOURCE_EXHAUSTED, object(), Endless(), 429, "429"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "details", "message", "retryDelay", "headers"])
            | st.integers(),
            inner,
            max_size=3,
        )
        | st.builds(SimpleNamespace, status=inner, headers=inner, status_code=inner, _content=inner)
    ),
    max_leaves=8,
)
NAMES = [
    "status",
    "status_code",
    "code",
    "headers",
    "body",
    "details",
    "response",
    "type",
    "reason",
]
NAMES += ["error_code", "response_json", "retry_after", "already_retried", "request"]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), ANYTHING), st.text(max_size=30))
def test_any_shape_gets_a_verdict(fields: dict[str, object], message: str) -> None:
    """Whatever an exception carries, and nothing is raised inside."""
    found = verdict(with_fields(RuntimeError(message), **fields))
    assert found.kind in RULES
    assert found.retry_after is None or found.retry_after >= 0
    assert found.status is None or found.status in range(100, 600)


def test_types_are_not_kept_alive() -> None:
    """The cache of types does not keep classes alive."""
    classifier = RecordingClassifier()
    classifier.classify_error(type("Temporary", (Exception,), {})())
    gc.collect()
    assert not list(classifier._types)


def test_an_error_that_tells_nothing_names_its_place() -> None:
    """Mostly it is a bug of the user's own function, and this is all that logs may say."""

    def buggy() -> None:
        raise TypeError("a secret prompt")

    with pytest.raises(TypeError) as caught:
        buggy()
    found = verdict(caught.value)
    assert found.kind is FailureKind.UNKNOWN
    assert re.fullmatch(r"TypeError at test_classify_shapes\.py:\d+ in buggy", found.reason)
    assert verdict(TypeError("never raised")).reason == "TypeError"


def test_an_adapters_error_without_a_code_names_its_cause() -> None:
    """Not its kind, which the reader knows already; without a cause there is nothing better."""
    error = ProviderError("no", provider="a", kind=FailureKind.TRANSPORT)
    assert verdict(error).reason == "transport"
    error.__cause__ = ConnectionRefusedError()
    assert verdict(error).reason == "ConnectionRefusedError"
    error.status = 502
    assert verdict(error).reason == "status 502"
    error.code = "bad_gateway"
    assert verdict(error).reason == "bad_gateway"


def test_the_cause_of_an_adapters_error_does_not_change_its_kind() -> None:
    """Only an error of kind `transport` is unsent because its cause is."""
    for kind, unsent in ((FailureKind.TRANSPORT, True), (FailureKind.SERVER, False)):
        error = ProviderError("no", provider="a", kind=kind)
        error.__cause__ = ConnectionRefusedError()
        assert (verdict(error).kind, verdict(error).unsent) == (kind, unsent)
