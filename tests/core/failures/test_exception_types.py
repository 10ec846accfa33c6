"""Exceptions without an HTTP answer: the table of classes, error numbers, gRPC and encoders."""

from __future__ import annotations

import errno

import pytest

from multirouter.core.failures import exception_types
from multirouter.core.failures.signatures import Signature
from multirouter.model import FailureKind


@pytest.mark.parametrize(
    ("name", "kind", "marks"),
    [
        ("builtins.TimeoutError", "timeout", {}),
        ("openai.APIError", "server", {}),
        ("requests.RequestException", "transport", {}),
        ("openai.APITimeoutError", "timeout", {"wrapper": True}),
        ("anthropic.APIConnectionError", "transport", {"wrapper": True}),
        ("builtins.ConnectionRefusedError", "transport", {"unsent": True}),
        ("requests.ConnectTimeout", "transport", {"unsent": True}),
        ("httpcore2.PoolTimeout", "transport", {"unsent": True}),
        ("builtins.UnicodeEncodeError", "request", {"unsent": True}),
        ("botocore.ParamValidationError", "request", {"unsent": True}),
    ],
)
def test_the_classes_of_a_table(name: str, kind: str, marks: dict[str, bool]) -> None:
    """Each is known by its own name, with the marks of its table."""
    assert exception_types._by_type()[name] == Signature(FailureKind(kind), name, **marks)


@pytest.mark.parametrize(
    ("number", "signature"),
    [
        (None, Signature(FailureKind.TRANSPORT, "OSError")),
        (errno.ECONNRESET, Signature(FailureKind.TRANSPORT, "ECONNRESET")),
        (errno.ECONNREFUSED, Signature(FailureKind.TRANSPORT, "ECONNREFUSED", unsent=True)),
        (errno.ENOENT, None),
    ],
)
def test_error_numbers(number: int | None, signature: Signature | None) -> None:
    """The reason is the name of the number; a refused connection carried no request."""
    error = OSError("x") if number is None else OSError(number, "x")
    assert exception_types.by_errno(error) == signature


@pytest.mark.parametrize(
    ("code", "text", "signature"),
    [
        ("unavailable", "goaway", Signature(FailureKind.TRANSPORT, "unavailable")),
        (
            "unavailable",
            "failed to connect to all addresses",
            Signature(FailureKind.TRANSPORT, "unavailable", unsent=True),
        ),
        (
            "unavailable",
            "dns resolution failed for quux",
            Signature(FailureKind.TRANSPORT, "unavailable", unsent=True),
        ),
        ("deadline_exceeded", "", Signature(FailureKind.TIMEOUT, "deadline_exceeded")),
        ("internal", "failed to connect", None),
    ],
)
def test_grpc_codes(code: str, text: str, signature: Signature | None) -> None:
    """The reason is the code; without a connection no request was sent."""
    assert exception_types.by_grpc_code(code, text) == signature


def test_requests_that_cannot_be_encoded() -> None:
    """The reason is the class; nothing was sent. Other classes and messages are no encoder's."""
    found = exception_types.by_encoder(TypeError(), "object of type x is not json serializable")
    assert found == Signature(FailureKind.REQUEST, "TypeError", unsent=True)
    assert exception_types.by_encoder(TypeError(), "unhashable") is None
    assert exception_types.by_encoder(OSError(), "not json serializable") is None
