"""Requests that cannot be sent, gRPC errors, and plain exceptions whose text tells the kind."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import openai
import pytest
from aiohttp.payload import JsonPayload
from pydantic import BaseModel

from multirouter.core.failures.classify import RULES, CircuitEffect
from multirouter.model import FailureKind
from tests.core.classification import verdict

SURROGATE = "bad \ud800 text"


def raised_by(function: Callable[[], object]) -> Exception:
    """The exception that a function raises, with its traceback."""
    with pytest.raises(Exception) as caught:
        function()
    return caught.value


def cyclic() -> list[Any]:
    """A list that contains itself."""
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


class Model(BaseModel):
    value: Any


# ── requests that cannot be sent ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "send",
    [
        SURROGATE.encode,
        lambda: json.dumps({"a", "set"}),
        lambda: json.dumps(b"bytes"),
        lambda: json.dumps(cyclic()),
        lambda: json.dumps(float("nan"), allow_nan=False),
        lambda: JsonPayload({"x": {1}}),
        lambda: JsonPayload({"x": SURROGATE}, dumps=lambda x: json.dumps(x, ensure_ascii=False)),
        lambda: httpx.Request("POST", "http://x", json={"x": SURROGATE}),
        lambda: httpx.Request("POST", "http://x", json={"x": b""}),
        lambda: httpx.Request("POST", "http://x", headers={"x": 1}),  # type: ignore[dict-item]
        lambda: httpx.Request("POST", "http://x", content=7),  # type: ignore[arg-type]
        lambda: Model(value=object()).model_dump_json(),
        lambda: openai.OpenAI(api_key="k").chat.completions.create(model="m"),  # type: ignore[call-overload]
        lambda: anthropic.Anthropic(api_key="k").messages.create(
            model="m", max_tokens=10**6, messages=[]
        ),
    ],
)
def test_a_request_that_cannot_be_sent_is_the_requests_fault(send: Callable[[], object]) -> None:
    """It is neutral for the circuit, and was certainly not sent."""
    found = verdict(raised_by(send))
    assert (found.kind, found.unsent) == (FailureKind.REQUEST, True)
    assert RULES[found.kind].circuit is CircuitEffect.NEUTRAL


def test_a_wrapped_encoding_error_is_the_requests_fault() -> None:
    """`openai` wraps whatever happens while it sends."""
    error = openai.APIConnectionError(request=httpx.Request("POST", "http://x"))
    error.__cause__ = raised_by(SURROGATE.encode)
    assert verdict(error).kind is FailureKind.REQUEST


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (lambda: json.loads("{"), FailureKind.TRANSPORT),
        (b"\xff".decode, FailureKind.UNKNOWN),
        (lambda: int("x"), FailureKind.UNKNOWN),
        (lambda: {}["choices"], FailureKind.UNKNOWN),
        (lambda: httpx.Response(200, text="<html>").json(), FailureKind.TRANSPORT),
    ],
)
def test_an_answer_that_cannot_be_read_is_the_providers_fault(
    read: Callable[[], object], kind: FailureKind
) -> None:
    """Errors of decoders and of a provider's own code still count as failures."""
    found = verdict(raised_by(read))
    assert (found.kind, found.unsent) == (kind, False)
    assert RULES[found.kind].circuit is CircuitEffect.FAILURE


# ── gRPC ──────────────────────────────────────────────────────────────────────────────────────────


class StatusCode(enum.Enum):
    """The codes of `grpc.StatusCode`, whose values are pairs."""

    CANCELLED = (1, "cancelled")
    UNKNOWN = (2, "unknown")
    INVALID_ARGUMENT = (3, "invalid argument")
    DEADLINE_EXCEEDED = (4, "deadline exceeded")
    NOT_FOUND = (5, "not found")
    PERMISSION_DENIED = (7, "permission denied")
    RESOURCE_EXHAUSTED = (8, "resource exhausted")
    FAILED_PRECONDITION = (9, "failed precondition")
    UNIMPLEMENTED = (12, "unimplemented")
    INTERNAL = (13, "internal")
    UNAVAILABLE = (14, "unavailable")
    UNAUTHENTICATED = (16, "unauthenticated")


class RpcError(Exception):
    """The base class of grpc's errors."""


RpcError.__module__ = "grpc"


class AioRpcError(RpcError):
    """An error of `grpc.aio`: code, message and metadata are methods."""

    def __init__(self, code: Any, details: Any = "", metadata: Any = ()) -> None:
        super().__init__()
        self._values = (code, details, metadata)

    def code(self) -> Any:
        """The status code."""
        return self._values[0]

    def details(self) -> Any:
        """The message."""
        return self._values[1]

    def trailing_metadata(self) -> Any:
        """Pairs, as of headers."""
        return self._values[2]


@pytest.mark.parametrize(
    ("code", "details", "kind", "status"),
    [
        ("INVALID_ARGUMENT", "n must be 1", FailureKind.REQUEST, 400),
        ("FAILED_PRECONDITION", "", FailureKind.REQUEST, 400),
        ("INVALID_ARGUMENT", "maximum prompt length is 5", FailureKind.CONTEXT_LENGTH, 400),
        ("UNAUTHENTICATED", "", FailureKind.CREDENTIALS, 401),
        ("PERMISSION_DENIED", "", FailureKind.CREDENTIALS, 403),
        ("PERMISSION_DENIED", "used all available credits", FailureKind.EXHAUSTED, 403),
        ("NOT_FOUND", "", FailureKind.NOT_FOUND, 404),
        ("RESOURCE_EXHAUSTED", "", FailureKind.RATE_LIMIT, 429),
        ("RESOURCE_EXHAUSTED", "used all available credits", FailureKind.EXHAUSTED, 429),
        ("CANCELLED", "", FailureKind.SERVER, 499),
        ("UNKNOWN", "", FailureKind.SERVER, 500),
        ("INTERNAL", "", FailureKind.SERVER, 500),
        ("UNIMPLEMENTED", "", FailureKind.SERVER, 501),
        ("UNAVAILABLE", "Socket closed", FailureKind.TRANSPORT, None),
        ("DEADLINE_EXCEEDED", "", FailureKind.TIMEOUT, None),
    ],
)
def test_grpc_codes(code: str, details: str, kind: FailureKind, status: int | None) -> None:
    """A gRPC error is read like the HTTP answer that its code stands for."""
    found = verdict(AioRpcError(StatusCode[code], details))
    assert (found.kind, found.status, found.unsent) == (kind, status, False)
    if kind is FailureKind.CREDENTIALS:
        assert found.certain is (code == "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "details", ["failed to connect to all addresses", "DNS resolution failed for x"]
)
def test_grpc_without_a_connection_was_not_sent(details: str) -> None:
    """Any other UNAVAILABLE may have been sent."""
    assert verdict(AioRpcError(StatusCode.UNAVAILABLE, details)).unsent


def test_grpc_pushback_is_the_wait() -> None:
    """The trailing metadata is read like headers."""
    metadata = (("grpc-retry-pushback-ms", "1500"),)
    assert verdict(AioRpcError(StatusCode.RESOURCE_EXHAUSTED, "", metadata)).retry_after == 1.5


@pytest.mark.parametrize("code", [None, 7, StatusCode, "x"])
def test_grpc_error_of_another_shape_is_unknown(code: object) -> None:
    """Whatever its methods return."""
    assert verdict(AioRpcError(code, details=b"", metadata=3)).kind is FailureKind.UNKNOWN
    assert verdict(RpcError()).kind is FailureKind.UNKNOWN


# ── plain exceptions ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "kind", "wait"),
    [
        ("HTTP 503", FailureKind.OVERLOADED, None),
        ("status code: 429", FailureKind.RATE_LIMIT, None),
        ("Error code: 429 - {'error': 'x'}", FailureKind.RATE_LIMIT, None),
        ("API error (status 500)", FailureKind.SERVER, None),
        ("502 Bad Gateway", FailureKind.SERVER, None),
        ("Server error '503 Service Unavailable' for url 'x'", FailureKind.OVERLOADED, None),
        ("got 429 Too Many Requests", FailureKind.RATE_LIMIT, None),
        ("the server returned 503", FailureKind.OVERLOADED, None),
        ("got a 429 from zeta", FailureKind.RATE_LIMIT, None),
        ("received 500 tokens", FailureKind.UNKNOWN, None),
        ("returned 503 rows", FailureKind.UNKNOWN, None),
        ("Rate limit reached", FailureKind.RATE_LIMIT, None),
        ("rate_limit_exceeded: try again in 2s", FailureKind.RATE_LIMIT, 2.0),
        ("retry after 12 seconds", FailureKind.RATE_LIMIT, 12.0),
        ("the model is overloaded", FailureKind.OVERLOADED, None),
        ("HTTP 503, retry after 12 seconds", FailureKind.OVERLOADED, 12.0),
        ("no answer", FailureKind.UNKNOWN, None),
        ("read 503 items", FailureKind.UNKNOWN, None),
        ("HTTP 404", FailureKind.UNKNOWN, None),
        ("HTTP 401", FailureKind.UNKNOWN, None),
        ("error on line 4290", FailureKind.UNKNOWN, None),
        ("x" * 500 + " HTTP 503", FailureKind.UNKNOWN, None),
    ],
)
def test_text_of_a_plain_exception(text: str, kind: FailureKind, wait: float | None) -> None:
    """A transient status, a limit or a wait is read from the text when nothing better is there."""
    found = verdict(RuntimeError(text))
    assert (found.kind, found.retry_after) == (kind, wait)


def test_a_cause_is_better_than_the_text() -> None:
    """The text decides last."""
    error = RuntimeError("HTTP 503")
    error.__cause__ = ConnectionRefusedError()
    assert verdict(error).kind is FailureKind.TRANSPORT
    assert verdict(TimeoutError("HTTP 503")).kind is FailureKind.TIMEOUT
