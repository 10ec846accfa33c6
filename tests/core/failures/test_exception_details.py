"""Details of a foreign exception: where each is read, and within which bounds."""

from __future__ import annotations

import json
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from multirouter.core.error_text import MAX_MESSAGE_LENGTH, message_of
from multirouter.core.failures.exception_details import (
    ExceptionDetails,
    description_of,
    location_of,
)
from tests.core.classification import details, with_fields


class Code(Enum):
    QUOTA = 7


# -- status ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"status_code": 503}, 503),
        ({"status": 503}, 503),
        ({"code": 503}, 503),
        ({"status_code": "503"}, 503),
        ({"status_code": 404, "status": 503}, 404),
        ({"response": SimpleNamespace(status_code=503)}, 503),
        ({"response": SimpleNamespace(status=503)}, 503),
        ({"response": {"ResponseMetadata": {"HTTPStatusCode": 503}}}, 503),
        ({"status_code": 100}, 100),
        ({"status_code": 599}, 599),
        ({"status_code": 99}, None),
        ({"status_code": 600}, None),
        ({"status_code": "5030"}, None),
        ({"status_code": "5e2"}, None),
        ({"status_code": True}, None),
        ({"status_code": 503.0}, None),
        ({}, None),
        # A code of the body is a status only where there is no failing one.
        ({"status_code": 200, "body": {"error": {"code": 503}}}, 503),
        ({"status_code": 404, "body": {"error": {"code": 503}}}, 404),
        ({"status_code": 200, "body": {"error": {"code": 302}}}, 200),
    ],
)
def test_where_a_status_is_read(fields: dict[str, object], status: int | None) -> None:
    """The first attribute that has one, 100 to 599."""
    found = details(**fields)
    assert found.status == status
    assert found.failing == (status if status is not None and status >= 400 else None)


# -- words -----------------------------------------------------------------------------------------


def test_words_are_codes_from_the_outside_in() -> None:
    """Lower case, without the name space of AWS; an enumeration has its name."""
    found = details(
        type=" Outer ",
        status="UNAVAILABLE",
        error_code="com.amazon.coral#ThrottlingException",
        reason="why",
        code=Code.QUOTA,
        body={"type": "Body", "error": {"code": "Inner", "details": [{"reason": "Deepest"}]}},
    )
    assert found.words == [
        "outer",
        "unavailable",
        "throttlingexception",
        "why",
        "quota",
        "body",
        "inner",
        "deepest",
    ]


@pytest.mark.parametrize("name", ["body", "details", "response_json", "response"])
def test_bodies_are_read_wherever_they_are(name: str) -> None:
    """As attributes of the exception, or as its response."""
    assert details(**{name: {"error": {"type": "Found"}}}).words == ["found"]


@pytest.mark.parametrize("key", ["_content", "_body"])
@pytest.mark.parametrize("form", [str, str.encode])
def test_a_response_that_was_read_is_a_body(key: str, form: Any) -> None:
    """Its text is JSON, or the message."""
    response = SimpleNamespace(**{key: form('{"error": {"type": "Found"}}')})
    assert details(response=response).words == ["found"]
    assert details(response=SimpleNamespace(**{key: form("The MESSAGE")})).text == "the message"
    both = details(response=response, body={"type": "own"})
    assert both.words == ["own"]


def test_only_envelopes_are_opened() -> None:
    """Other fields may quote the request."""
    quoted = {"type": "quoted", "message": "quoted"}
    body = {"input": quoted, "error": {"metadata": {"type": "read"}, "messages": [quoted]}}
    found = details(body=body)
    assert found.words == ["read"]
    assert found.text == "x"


def test_a_message_may_be_a_body() -> None:
    """As the front ends of Gemini put it there."""
    inner = json.dumps({"error": {"status": "INNER"}})
    assert details(body={"error": {"message": inner}}).words == ["inner"]


def test_bounds_of_a_body() -> None:
    """A long word, many fields, and a long text are cut; what is beyond them is not read."""
    assert details(type="a" * 200).words == ["a" * 100]
    fields = {f"f{n}": n for n in range(63)}
    assert details(body={**fields, "type": "last"}).words == ["last"]
    assert details(body={**fields, "f": 0, "type": "beyond"}).words == []
    assert details(body=[*range(63), {"type": "last"}]).words == ["last"]
    assert details(body=[*range(64), {"type": "beyond"}]).words == []
    deep: Any = {"type": "deepest"}
    for _ in range(199):
        deep = {"error": deep}
    assert details(body=deep).words == ["deepest"]
    assert details(body={"error": deep}).words == []
    padding = json.dumps({"type": "big", "x": ""})
    for size, words in ((65536, ["big"]), (65537, [])):
        text = padding[:-2] + "x" * (size - len(padding)) + padding[-2:]
        assert len(text) == size
        assert details(body=text).words == words


# -- text, delays, headers -------------------------------------------------------------------------


def test_texts_are_joined_in_lower_case() -> None:
    """Of the body; without any the message of the exception. At most 4,096 characters."""
    body = {"error": {"message": "One", "detail": "Two"}, "error_description": "Three"}
    assert details(body=body).text == "three\none\ntwo"
    assert details(RuntimeError("Own")).text == "own"
    assert details(body="Plain").text == "plain"
    assert details(body={"message": "Known"}, details="Plain").text == "known"
    assert len(details(RuntimeError("a" * 5000)).text) == 4096
    assert details(body={"message": "a" * 4090, "detail": "b" * 5000}).text.count("b") == 5


def test_delays_are_kept_as_they_are() -> None:
    """Of the exception first, then of the body."""
    body = {"error": {"details": [{"retryDelay": "7s"}]}, "retry_after": 3}
    assert details(retry_after=5, body=body).delays == [5, 3, "7s"]
    assert details().delays == []


def test_headers_by_lower_case_name() -> None:
    """Those of the response come before those of the exception, and botocore's last."""
    response = {
        "ResponseMetadata": {"HTTPHeaders": {"A": "metadata", "C": 3}},
    }
    found = details(response=response, headers=[(b"A", b"own"), ("B", "own")]).headers
    assert found == {"a": "own", "b": "own", "c": "3"}
    first = details(response=SimpleNamespace(headers={"A": "response"}), headers={"A": "own"})
    assert first.headers == {"a": "response"}
    many = {f"h{n}": "x" for n in range(300)}
    assert len(details(headers=many).headers) == 256


# -- retried, fields, gRPC -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "retried"),
    [
        ({}, False),
        ({"headers": {"X-Should-Retry": "false"}}, True),
        ({"headers": {"X-Should-Retry": "true"}}, False),
        ({"response": {"ResponseMetadata": {"RetryAttempts": 1}}}, True),
        ({"response": {"ResponseMetadata": {"RetryAttempts": 0}}}, False),
        ({"response": {"ResponseMetadata": {}}}, False),
        ({"request": SimpleNamespace(headers={"x-stainless-retry-count": "1"})}, True),
        ({"request": SimpleNamespace(headers={"x-stainless-retry-count": "0"})}, False),
        ({"request": SimpleNamespace(headers={})}, False),
        ({"request": SimpleNamespace(headers={"x-stainless-retry-count": "many"})}, False),
    ],
)
def test_signs_that_a_client_has_retried(fields: dict[str, object], *, retried: bool) -> None:
    """Of the service, of botocore and of SDKs."""
    assert details(**fields).retried is retried


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"param": "messages"}, True),
        ({"param": ""}, False),
        ({"param": None}, False),
        ({"param": 7}, False),
        ({"body": {"error": {"param": "messages"}}}, True),
        ({"body": {"detail": [{"loc": ["body", "model"]}]}}, True),
        ({"body": {"field": "x", "error": {"param": None}}}, True),
        ({"body": {"error": {"param": None}}}, False),
    ],
)
def test_errors_that_name_a_field(fields: dict[str, object], *, names: bool) -> None:
    """By a name or a path; an empty one names none."""
    assert details(**fields).names_field is names


class _Status(Enum):
    RESOURCE_EXHAUSTED = 8
    UNAVAILABLE = 14


RpcError = type("RpcError", (Exception,), {"__module__": "grpc.aio"})
OtherRpcError = type("RpcError", (Exception,), {"__module__": "zeta"})


def rpc(cls: type[Exception], code: Any) -> BaseException:
    """An error of gRPC, whose details are methods."""
    error = cls("x")
    fields = {
        "code": lambda: code,
        "details": lambda: "The Details",
        "trailing_metadata": lambda: [("Retry-After", "3")],
    }
    return with_fields(error, **fields)


def test_errors_of_grpc() -> None:
    """The code has a status, unless it has a meaning of its own; the metadata are headers."""
    found = ExceptionDetails(rpc(RpcError, _Status.RESOURCE_EXHAUSTED))
    assert (found.grpc_code, found.status) == ("resource_exhausted", 429)
    assert (found.text, found.headers) == ("the details", {"retry-after": "3"})
    found = ExceptionDetails(rpc(RpcError, _Status.UNAVAILABLE))
    assert (found.grpc_code, found.status) == ("unavailable", None)
    assert ExceptionDetails(rpc(RpcError, None)).grpc_code == ""
    other = ExceptionDetails(rpc(OtherRpcError, _Status.RESOURCE_EXHAUSTED))
    assert (other.grpc_code, other.status, other.text) == ("", None, "x")
    assert details().grpc_code == ""


def test_an_error_of_grpc_without_its_methods() -> None:
    """What is missing, or raises, counts as absent; the rest is read."""
    found = ExceptionDetails(with_fields(RpcError("x"), code=lambda: _Status.UNAVAILABLE))
    assert (found.grpc_code, found.text, found.headers) == ("unavailable", "x", {})
    found = ExceptionDetails(with_fields(RpcError("x"), code=lambda: 1 / 0))
    assert (found.grpc_code, found.status, found.text) == ("", None, "x")


# -- messages for people ---------------------------------------------------------------------------


def raised(error: Exception) -> Exception:
    """The exception after it was raised in a function of this module."""

    def fails() -> None:
        raise error

    try:
        fails()
    except Exception as caught:
        return caught
    raise AssertionError


class Mute(Exception):
    """An exception without a message."""

    def __str__(self) -> str:
        raise ValueError("no message")


def test_a_message_is_one_line() -> None:
    """It is cut, and empty where reading it raises."""
    assert message_of(ValueError("two\n  lines")) == "two lines"
    assert message_of(ValueError("x" * 500)) == "x" * MAX_MESSAGE_LENGTH
    assert message_of(Mute()) == ""


def test_the_place_is_where_it_was_raised() -> None:
    """File, line and function of the innermost frame."""
    error = raised(ValueError("bad"))
    trace = error.__traceback__
    assert trace is not None
    assert trace.tb_next is not None
    place = f"test_exception_details.py:{trace.tb_next.tb_lineno} in fails"
    assert location_of(error) == place
    assert description_of(error) == f"ValueError: bad ({place})"
    assert location_of(ValueError()) == ""
    assert description_of(ValueError("bad")) == "ValueError: bad"
    assert description_of(Mute()) == "Mute"
