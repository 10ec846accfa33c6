"""Verdicts on the exceptions of HTTP clients, botocore and the standard library."""

from __future__ import annotations

import asyncio
import errno
import http.client
import json
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import aiohttp
import anthropic
import botocore.exceptions as botocore
import httpx
import httpx2
import openai
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from multirouter.model import FailureKind
from tests.core.classification import verdict

URL_ = "https://api.example.com/v1/chat"


@pytest.mark.parametrize("sdk", [httpx, httpx2])
def test_httpx_status_error(sdk: Any) -> None:
    """`raise_for_status` provides status, headers and the body that was already read."""
    response = sdk.Response(
        429,
        json={"error": {"code": "insufficient_quota"}},
        headers={"Retry-After": "7"},
        request=sdk.Request("POST", URL_),
    )
    with pytest.raises(sdk.HTTPStatusError) as caught:
        response.raise_for_status()
    found = verdict(caught.value)
    assert (found.kind, found.status, found.retry_after) == (FailureKind.EXHAUSTED, 429, 7.0)
    assert found.reason == "insufficient_quota"


def test_httpx_unread_body_stays_unread() -> None:
    """A streamed response whose body was never read is judged by its status."""
    request = httpx2.Request("POST", URL_)
    response = httpx2.Response(503, stream=httpx2.ByteStream(b"secret"), request=request)
    error = httpx2.HTTPStatusError("503", request=request, response=response)
    assert verdict(error).kind is FailureKind.OVERLOADED
    assert not response.is_stream_consumed


@pytest.mark.parametrize("sdk", [httpx, httpx2])
@pytest.mark.parametrize(
    ("name", "kind", "unsent"),
    [
        ("ConnectError", FailureKind.TRANSPORT, True),
        ("ConnectTimeout", FailureKind.TRANSPORT, True),
        ("PoolTimeout", FailureKind.TRANSPORT, True),
        ("ProxyError", FailureKind.TRANSPORT, True),
        ("UnsupportedProtocol", FailureKind.TRANSPORT, True),
        ("ReadTimeout", FailureKind.TIMEOUT, False),
        ("WriteTimeout", FailureKind.TIMEOUT, False),
        ("ReadError", FailureKind.TRANSPORT, False),
        ("RemoteProtocolError", FailureKind.TRANSPORT, False),
        ("DecodingError", FailureKind.TRANSPORT, False),
    ],
)
def test_httpx_transport(sdk: Any, name: str, kind: FailureKind, unsent: bool) -> None:
    """A request that never reached the provider is unsent, also inside the SDKs' errors."""
    error = getattr(sdk, name)("prompt is too long", request=None)
    found = verdict(error)
    assert (found.kind, found.unsent, found.reason) == (kind, unsent, name)
    request = httpx2.Request("POST", URL_)
    for package in (openai, anthropic):
        for wrapper in (
            package.APIConnectionError(request=request),
            package.APITimeoutError(request),
        ):
            wrapper.__cause__ = error
            assert (verdict(wrapper).kind, verdict(wrapper).unsent) == (kind, unsent)


def client_response_error(status: int, **headers: str) -> aiohttp.ClientResponseError:
    url = URL(URL_)
    info = aiohttp.RequestInfo(url, "POST", CIMultiDictProxy(CIMultiDict()), url)
    fields = CIMultiDictProxy(CIMultiDict({k.replace("_", "-"): v for k, v in headers.items()}))
    return aiohttp.ClientResponseError(info, (), status=status, message="no", headers=fields)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, FailureKind.RATE_LIMIT),
        (500, FailureKind.SERVER),
        (403, FailureKind.CREDENTIALS),
        (404, FailureKind.NOT_FOUND),
        (0, FailureKind.UNKNOWN),
    ],
)
def test_aiohttp_status(status: int, kind: FailureKind) -> None:
    """Aiohttp's error is read by status and headers, not by its deprecated `code`."""
    found = verdict(client_response_error(status, Retry_After="3"))
    assert (found.kind, found.retry_after) == (kind, 3.0)


def connector_error(cls: Any, cause: OSError) -> Any:
    key = SimpleNamespace(host="h", port=443, is_ssl=True, ssl=True, proxy=None)
    return cls(key, cause)


AIOHTTP: list[tuple[Exception, FailureKind, bool]] = [
    (
        connector_error(aiohttp.ClientConnectorError, OSError(111, "no")),
        FailureKind.TRANSPORT,
        True,
    ),
    (
        connector_error(aiohttp.ClientConnectorDNSError, OSError(-2, "no")),
        FailureKind.TRANSPORT,
        True,
    ),
    (connector_error(aiohttp.ClientConnectorSSLError, ssl.SSLError()), FailureKind.TRANSPORT, True),
    (aiohttp.ConnectionTimeoutError("t"), FailureKind.TRANSPORT, True),
    (aiohttp.SocketTimeoutError("t"), FailureKind.TIMEOUT, False),
    (aiohttp.ServerTimeoutError("t"), FailureKind.TIMEOUT, False),
    (aiohttp.ServerDisconnectedError(), FailureKind.TRANSPORT, False),
    (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), FailureKind.TRANSPORT, False),
    (aiohttp.ClientPayloadError("cut"), FailureKind.TRANSPORT, False),
]


@pytest.mark.parametrize(("error", "kind", "unsent"), AIOHTTP)
def test_aiohttp_transport(error: Exception, kind: FailureKind, unsent: bool) -> None:
    """Connection errors of aiohttp are unsent when no connection was made."""
    assert (verdict(error).kind, verdict(error).unsent) == (kind, unsent)


def from_aws(status: int, code: str, message: str = "x", retries: int = 0) -> Exception:
    metadata = {
        "HTTPStatusCode": status,
        "HTTPHeaders": {"retry-after": "2"},
        "RetryAttempts": retries,
    }
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    return botocore.ClientError(response, "Converse")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            from_aws(429, "ThrottlingException", "Too many tokens, please wait"),
            FailureKind.RATE_LIMIT,
        ),
        (from_aws(400, "ThrottlingException"), FailureKind.RATE_LIMIT),
        (from_aws(400, "ValidationException"), FailureKind.REQUEST),
        (
            from_aws(400, "ValidationException", "Input is too long for it."),
            FailureKind.CONTEXT_LENGTH,
        ),
        (from_aws(403, "AccessDeniedException"), FailureKind.CREDENTIALS),
        (from_aws(403, "ExpiredTokenException"), FailureKind.CREDENTIALS),
        (from_aws(404, "ResourceNotFoundException"), FailureKind.NOT_FOUND),
        (from_aws(424, "ModelErrorException"), FailureKind.SERVER),
        (from_aws(503, "ServiceUnavailableException"), FailureKind.OVERLOADED),
    ],
)
def test_botocore_client_error(error: Exception, kind: FailureKind) -> None:
    """Botocore's one error class is distinguished by the code in its response."""
    assert (verdict(error).kind, verdict(error).retry_after) == (kind, 2.0)


def test_botocore_event_stream() -> None:
    """Case 62: an exception inside an AWS event stream has a code and no status."""
    error = botocore.EventStreamError({"Error": {"Code": "throttlingException"}}, "ConverseStream")
    assert (verdict(error).kind, verdict(error).status) == (FailureKind.RATE_LIMIT, None)


def test_botocore_retries() -> None:
    """Case 68: botocore's own retries are read from its response metadata."""
    assert verdict(from_aws(500, "InternalServerException", retries=3)).retried
    assert not verdict(from_aws(500, "InternalServerException")).retried


@pytest.mark.parametrize(
    ("error", "kind", "unsent"),
    [
        (botocore.EndpointConnectionError(endpoint_url="u"), FailureKind.TRANSPORT, True),
        (botocore.ConnectTimeoutError(endpoint_url="u"), FailureKind.TRANSPORT, True),
        (botocore.ReadTimeoutError(endpoint_url="u"), FailureKind.TIMEOUT, False),
        (botocore.ConnectionClosedError(endpoint_url="u"), FailureKind.TRANSPORT, False),
        (botocore.NoCredentialsError(), FailureKind.CREDENTIALS, False),
        (botocore.ParamValidationError(report="r"), FailureKind.REQUEST, True),
    ],
)
def test_botocore_errors_without_a_response(
    error: Exception, kind: FailureKind, unsent: bool
) -> None:
    """They are distinguished by their type."""
    assert (verdict(error).kind, verdict(error).unsent) == (kind, unsent)


@pytest.mark.parametrize(
    ("error", "kind", "unsent"),
    [
        (TimeoutError(), FailureKind.TIMEOUT, False),
        (ConnectionRefusedError(), FailureKind.TRANSPORT, True),
        (ConnectionResetError(), FailureKind.TRANSPORT, False),
        (BrokenPipeError(), FailureKind.TRANSPORT, False),
        (OSError(errno.ENETUNREACH, "no route"), FailureKind.TRANSPORT, False),
        (OSError("Multiple exceptions"), FailureKind.TRANSPORT, False),
        (socket.gaierror(-2, "unknown"), FailureKind.TRANSPORT, True),
        (ssl.SSLError(1, "bad record"), FailureKind.TRANSPORT, False),
        (ssl.SSLCertVerificationError(1, "expired"), FailureKind.TRANSPORT, True),
        (http.client.IncompleteRead(b"x", 5), FailureKind.TRANSPORT, False),
        (asyncio.IncompleteReadError(b"x", 5), FailureKind.TRANSPORT, False),
        (json.JSONDecodeError("x", "y", 0), FailureKind.TRANSPORT, False),
        (FileNotFoundError(errno.ENOENT, "prompts.txt"), FailureKind.UNKNOWN, False),
        (
            ValueError("Requested 5 tokens exceed context window of 4"),
            FailureKind.CONTEXT_LENGTH,
            False,
        ),
        (ValueError("too many tokens"), FailureKind.UNKNOWN, False),
    ],
)
def test_standard_library(error: Exception, kind: FailureKind, unsent: bool) -> None:
    """Case 70: errors of the standard library, a provider's own TimeoutError among them."""
    assert (verdict(error).kind, verdict(error).unsent) == (kind, unsent)
