"""The exception objects of the real SDKs, made as the SDKs make them, and the verdicts on them."""

from __future__ import annotations

import asyncio
import errno
import http.client
import json
import socket
import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import anthropic
import botocore.exceptions as botocore
import httpx
import httpx2
import openai
import pytest
from google.genai import errors as genai
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from multirouter.core.classify import Classifier
from multirouter.core.model import Kind, Verdict

URL_ = "https://api.example.com/v1/chat"


def verdict(error: BaseException) -> Verdict:
    def broken(failure: Exception) -> None:
        raise failure

    return Classifier(wall=lambda: 1_700_000_000.0, broken=broken).error(error)


def answer(
    status: int, body: Any = None, headers: dict[str, str] | None = None, sdk: Any = httpx2
) -> Any:
    request = sdk.Request("POST", URL_, headers={"x-stainless-retry-count": "0"})
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return sdk.Response(status, content=content, headers=headers, request=request)


def from_openai(status: int, body: Any, headers: dict[str, str] | None = None) -> Exception:
    client = openai.AsyncOpenAI(api_key="sk-test")
    return client._make_status_error_from_response(answer(status, body, headers))


def from_anthropic(status: int, body: Any, headers: dict[str, str] | None = None) -> Exception:
    client = anthropic.AsyncAnthropic(api_key="sk-test")
    return client._make_status_error_from_response(answer(status, body, headers))


def from_gemini(status: int, body: Any, headers: dict[str, str] | None = None) -> Exception:
    with pytest.raises(genai.APIError) as caught:
        genai.APIError.raise_for_response(answer(status, body, headers))
    return caught.value


def openai_body(message: str, code: str | None = None, type_: str = "invalid_request_error") -> Any:
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def anthropic_body(message: str, type_: str, error_code: str | None = None) -> Any:
    error: dict[str, Any] = {"type": type_, "message": message}
    if error_code:
        error["details"] = {"error_code": error_code}
    return {"type": "error", "error": error, "request_id": "req_1"}


def gemini_body(code: int, status: str, message: str, *details: dict[str, Any]) -> Any:
    return {"error": {"code": code, "message": message, "status": status, "details": details}}


def quota(*ids: str) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaMetric": "generativelanguage/x", "quotaId": id_} for id_ in ids],
    }


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
TOO_LONG = "This model's maximum context length is 8192 tokens. However, you asked for 9000."
BY_OPENAI: list[tuple[int, Any, Kind]] = [
    (400, openai_body("Bad value", "invalid_value"), Kind.REQUEST),
    (400, openai_body(TOO_LONG, "context_length_exceeded"), Kind.CONTEXT_LENGTH),
    (400, openai_body(TOO_LONG), Kind.CONTEXT_LENGTH),
    (400, openai_body("Input tokens exceed the configured limit of 9"), Kind.CONTEXT_LENGTH),
    (400, openai_body("Your input exceeds the context window of it"), Kind.CONTEXT_LENGTH),
    (400, openai_body("the request exceeds the available context size"), Kind.CONTEXT_LENGTH),
    (400, openai_body("string too long", "string_above_max_length"), Kind.REQUEST),
    (400, openai_body("max_tokens is too large: 9000. context window"), Kind.REQUEST),
    (400, openai_body("no", "content_policy_violation"), Kind.CONTENT_FILTER),
    (400, openai_body("no", "content_filter"), Kind.CONTENT_FILTER),
    (
        400,
        {"error": {"message": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        Kind.CONTENT_FILTER,
    ),
    (401, openai_body("Incorrect API key", "invalid_api_key"), Kind.CREDENTIALS),
    (402, openai_body("Insufficient Balance"), Kind.EXHAUSTED),
    (403, openai_body("no access", "model_not_found"), Kind.NOT_FOUND),
    (404, openai_body("no such model", "model_not_found"), Kind.NOT_FOUND),
    (404, b"<html>not here</html>", Kind.NOT_FOUND),
    (408, None, Kind.SERVER),
    (409, openai_body("conflict"), Kind.SERVER),
    (413, openai_body("too big"), Kind.REQUEST),
    (413, b"prompt is too long", Kind.CONTEXT_LENGTH),
    (413, openai_body("TPM", "rate_limit_exceeded", "tokens"), Kind.RATE_LIMIT),
    (422, {"detail": [{"loc": ["body"], "msg": "bad", "type": "missing"}]}, Kind.REQUEST),
    (418, None, Kind.REQUEST),
    (429, openai_body("slow down", "rate_limit_exceeded", "requests"), Kind.RATE_LIMIT),
    (429, openai_body("You exceeded your current quota", None, "requests"), Kind.RATE_LIMIT),
    (429, openai_body("pay", "insufficient_quota", "insufficient_quota"), Kind.EXHAUSTED),
    (500, openai_body("oops", None, "server_error"), Kind.SERVER),
    (502, b"<html>Bad gateway</html>", Kind.SERVER),
    (503, openai_body("overloaded"), Kind.OVERLOADED),
    (504, None, Kind.SERVER),
]


@pytest.mark.parametrize(("status", "body", "kind"), BY_OPENAI)
def test_openai_statuses(status: int, body: Any, kind: Kind) -> None:
    """Case 62: each answer of an OpenAI-shaped API gets its kind from code, phrase or status."""
    found = verdict(from_openai(status, body))
    assert (found.kind, found.status, found.retried) == (kind, status, False)


BY_ANTHROPIC: list[tuple[int, Any, Kind]] = [
    (400, anthropic_body("bad", "invalid_request_error"), Kind.REQUEST),
    (
        400,
        anthropic_body("prompt is too long: 210000 tokens > 200000", "invalid_request_error"),
        Kind.CONTEXT_LENGTH,
    ),
    (
        400,
        anthropic_body("input length and `max_tokens` exceed context limit: 1 + 2", "x"),
        Kind.CONTEXT_LENGTH,
    ),
    (
        400,
        anthropic_body("Output blocked by content filtering policy", "invalid_request_error"),
        Kind.CONTENT_FILTER,
    ),
    (
        400,
        anthropic_body("Your credit balance is too low to access it", "invalid_request_error"),
        Kind.EXHAUSTED,
    ),
    (
        400,
        anthropic_body("held", "invalid_request_error", "organization_on_hold"),
        Kind.CREDENTIALS,
    ),
    (401, anthropic_body("bad key", "authentication_error"), Kind.CREDENTIALS),
    (402, anthropic_body("pay", "billing_error"), Kind.EXHAUSTED),
    (403, anthropic_body("no", "permission_error"), Kind.CREDENTIALS),
    (404, anthropic_body("model: nope", "not_found_error"), Kind.NOT_FOUND),
    (413, anthropic_body("Request exceeds", "request_too_large"), Kind.CONTEXT_LENGTH),
    (429, anthropic_body("limit", "rate_limit_error"), Kind.RATE_LIMIT),
    (429, anthropic_body("slow", "rate_limit_error", "ramp_limit_exceeded"), Kind.RATE_LIMIT),
    (429, anthropic_body("x", "rate_limit_error", "enforced_spend_limit_reached"), Kind.EXHAUSTED),
    (429, anthropic_body("x", "rate_limit_error", "contract_spend_limit_reached"), Kind.EXHAUSTED),
    (500, anthropic_body("x", "api_error"), Kind.SERVER),
    (504, anthropic_body("x", "timeout_error"), Kind.SERVER),
    (529, anthropic_body("Overloaded", "overloaded_error"), Kind.OVERLOADED),
    # An error event in a stream that began with 200:
    (200, anthropic_body("Overloaded", "overloaded_error"), Kind.OVERLOADED),
    (200, anthropic_body("x", "rate_limit_error"), Kind.RATE_LIMIT),
    (200, anthropic_body("x", "api_error"), Kind.SERVER),
    (200, anthropic_body("x", "permission_error"), Kind.CREDENTIALS),
    (200, anthropic_body("x", "something_new"), Kind.TRANSPORT),
]


@pytest.mark.parametrize(("status", "body", "kind"), BY_ANTHROPIC)
def test_anthropic_statuses(status: int, body: Any, kind: Kind) -> None:
    """Case 62: each answer of the Messages API gets its kind, error events in streams too."""
    found = verdict(from_anthropic(status, body))
    assert found.kind is kind
    assert found.certain is ("permission_error" not in json.dumps(body))


BY_GEMINI: list[tuple[int, Any, Kind, float | None]] = [
    (400, gemini_body(400, "INVALID_ARGUMENT", "bad field"), Kind.REQUEST, None),
    (
        400,
        gemini_body(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed (9).",
        ),
        Kind.CONTEXT_LENGTH,
        None,
    ),
    (
        400,
        gemini_body(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520"),
        Kind.CONTEXT_LENGTH,
        None,
    ),
    (400, gemini_body(400, "INVALID_ARGUMENT", "x", BAD_KEY), Kind.CREDENTIALS, None),
    (400, gemini_body(400, "INVALID_ARGUMENT", "API key not valid."), Kind.CREDENTIALS, None),
    (403, gemini_body(403, "PERMISSION_DENIED", "no"), Kind.CREDENTIALS, None),
    (404, gemini_body(404, "NOT_FOUND", "models/x is not found"), Kind.NOT_FOUND, None),
    (
        429,
        gemini_body(429, "RESOURCE_EXHAUSTED", "x", quota("RequestsPerMinute"), RETRY_INFO),
        Kind.RATE_LIMIT,
        34.07,
    ),
    (
        429,
        [gemini_body(429, "RESOURCE_EXHAUSTED", "x", RETRY_INFO)],
        Kind.RATE_LIMIT,
        34.07,
    ),
    (
        429,
        gemini_body(429, "RESOURCE_EXHAUSTED", "Quota exceeded. Please retry in 58.2s."),
        Kind.RATE_LIMIT,
        58.2,
    ),
    (
        429,
        gemini_body(
            429,
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota, please check your plan and billing details.",
            quota("InputTokensPerModelPerMinute-FreeTier", "RequestsPerDayPerProjectPerModel"),
        ),
        Kind.EXHAUSTED,
        None,
    ),
    (500, gemini_body(500, "INTERNAL", "x"), Kind.SERVER, None),
    (503, gemini_body(503, "UNAVAILABLE", "The model is overloaded."), Kind.OVERLOADED, None),
    (504, gemini_body(504, "DEADLINE_EXCEEDED", "x"), Kind.SERVER, None),
    (499, gemini_body(499, "CANCELLED", "x"), Kind.SERVER, None),
    (502, b"<html>", Kind.SERVER, None),
]


@pytest.mark.parametrize(("status", "body", "kind", "wait"), BY_GEMINI)
def test_gemini_statuses(status: int, body: Any, kind: Kind, wait: float | None) -> None:
    """Case 61, 62: Gemini's kinds and its retryDelay, in a list and in words too."""
    found = verdict(from_gemini(status, body))
    assert (found.kind, found.status, found.retry_after) == (kind, status, wait)


def test_gemini_answer_inside_a_message() -> None:
    """A front end that puts the whole inner answer into `message` hides nothing."""
    inner = json.dumps(gemini_body(429, "RESOURCE_EXHAUSTED", "x", quota("RequestsPerDay")))
    outer = {"error": {"message": inner, "code": 429, "status": "Too Many Requests"}}
    assert verdict(from_gemini(429, outer)).kind is Kind.EXHAUSTED


@pytest.mark.parametrize("sdk", [httpx, httpx2])
def test_httpx_status_error(sdk: Any) -> None:
    """A bare `raise_for_status` shows status, headers and the body that was already read."""
    response = answer(429, openai_body("x", "insufficient_quota"), {"Retry-After": "7"}, sdk)
    with pytest.raises(sdk.HTTPStatusError) as caught:
        response.raise_for_status()
    found = verdict(caught.value)
    assert (found.kind, found.status, found.retry_after) == (Kind.EXHAUSTED, 429, 7.0)
    assert found.reason == "insufficient_quota"


def test_httpx_body_not_read() -> None:
    """A streamed answer whose body was never read is judged by its status, and is not read."""
    request = httpx2.Request("POST", URL_)
    response = httpx2.Response(503, stream=httpx2.ByteStream(b"secret"), request=request)
    error = httpx2.HTTPStatusError("503", request=request, response=response)
    assert verdict(error).kind is Kind.OVERLOADED
    assert not response.is_stream_consumed


@pytest.mark.parametrize("sdk", [httpx, httpx2])
@pytest.mark.parametrize(
    ("name", "kind", "unsent"),
    [
        ("ConnectError", Kind.TRANSPORT, True),
        ("ConnectTimeout", Kind.TRANSPORT, True),
        ("PoolTimeout", Kind.TRANSPORT, True),
        ("ProxyError", Kind.TRANSPORT, True),
        ("UnsupportedProtocol", Kind.TRANSPORT, True),
        ("ReadTimeout", Kind.TIMEOUT, False),
        ("WriteTimeout", Kind.TIMEOUT, False),
        ("ReadError", Kind.TRANSPORT, False),
        ("RemoteProtocolError", Kind.TRANSPORT, False),
        ("DecodingError", Kind.TRANSPORT, False),
    ],
)
def test_httpx_transport(sdk: Any, name: str, kind: Kind, unsent: bool) -> None:
    """What never reached the provider is unsent, alone and inside the SDKs' own errors."""
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


@pytest.mark.parametrize("package", [openai, anthropic])
def test_sdk_errors_without_cause(package: Any) -> None:
    """A wrapper whose cause says nothing speaks for itself."""
    request = httpx2.Request("POST", URL_)
    lost, late = package.APIConnectionError(request=request), package.APITimeoutError(request)
    lost.__cause__ = ValueError("no idea")
    assert (verdict(lost).kind, verdict(lost).unsent) == (Kind.TRANSPORT, False)
    assert verdict(late).kind is Kind.TIMEOUT


def test_sdk_errors_of_other_shapes() -> None:
    """Errors that an SDK raises without an error status are told by their type."""
    rubbish = openai.APIResponseValidationError(answer(200, {}), {})
    assert verdict(rubbish).kind is Kind.TRANSPORT
    assert verdict(openai.ContentFilterFinishReasonError()).kind is Kind.CONTENT_FILTER
    assert verdict(anthropic.IdentityTokenFileError("x")).kind is Kind.CREDENTIALS
    assert verdict(genai.UnknownApiResponseError("x")).kind is Kind.TRANSPORT


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"message": "x", "code": "server_error"}, Kind.SERVER),
        ({"message": "x", "code": "rate_limit_exceeded"}, Kind.RATE_LIMIT),
        ({"message": "x", "code": "context_length_exceeded"}, Kind.CONTEXT_LENGTH),
        ({"message": "x", "code": 429}, Kind.RATE_LIMIT),
        ({"message": "x", "code": 402}, Kind.EXHAUSTED),
        ({"message": "x"}, Kind.SERVER),
    ],
)
def test_openai_error_event(body: dict[str, Any], kind: Kind) -> None:
    """An error event inside a stream has no status: its code, as a word or a number, decides."""
    assert verdict(openai.APIError("x", httpx2.Request("POST", URL_), body=body)).kind is kind


@pytest.mark.parametrize("make", [from_openai, from_anthropic])
def test_sdk_that_retried(make: Callable[..., Exception]) -> None:
    """Case 68: the SDK's own retry count on the request marks its error as already retried."""
    error = make(500, None)
    error.request.headers["x-stainless-retry-count"] = "2"  # type: ignore[attr-defined]
    assert verdict(error).retried
    assert verdict(make(500, None, {"x-should-retry": "false"})).retried
    assert not verdict(make(500, None, {"x-should-retry": "true"})).retried


def test_sdk_counts_its_retries() -> None:
    """Case 68: a real client against a failing server leaves an error that reads as retried."""

    async def call(retries: int) -> Verdict:
        transport = httpx2.MockTransport(
            lambda _: httpx2.Response(500, headers={"retry-after-ms": "1"})
        )
        client = openai.AsyncOpenAI(
            api_key="sk-test",
            max_retries=retries,
            http_client=httpx2.AsyncClient(transport=transport),
        )
        with pytest.raises(openai.InternalServerError) as caught:
            await client.models.list()
        await client.close()
        return verdict(caught.value)

    assert asyncio.run(call(1)).retried
    assert not asyncio.run(call(0)).retried


def test_reset_headers_reach_the_verdict() -> None:
    """Case 61: a 429 without Retry-After is timed by the limit that is used up."""
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "9",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert verdict(from_openai(429, None, headers)).retry_after == 1.0
    assert verdict(from_openai(500, None, headers)).retry_after is None
    assert verdict(from_openai(503, None, headers | {"retry-after": "4"})).retry_after == 4.0


def client_response_error(status: int, **headers: str) -> aiohttp.ClientResponseError:
    url = URL(URL_)
    info = aiohttp.RequestInfo(url, "POST", CIMultiDictProxy(CIMultiDict()), url)
    held = CIMultiDictProxy(CIMultiDict({k.replace("_", "-"): v for k, v in headers.items()}))
    return aiohttp.ClientResponseError(info, (), status=status, message="no", headers=held)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, Kind.RATE_LIMIT),
        (500, Kind.SERVER),
        (403, Kind.CREDENTIALS),
        (404, Kind.NOT_FOUND),
        (0, Kind.UNKNOWN),
    ],
)
def test_aiohttp_status(status: int, kind: Kind) -> None:
    """The error of aiohttp is read by status and headers, not by its deprecated `code`."""
    found = verdict(client_response_error(status, Retry_After="3"))
    assert (found.kind, found.retry_after) == (kind, 3.0)


def connector_error(cls: Any, cause: OSError) -> Any:
    key = SimpleNamespace(host="h", port=443, is_ssl=True, ssl=True, proxy=None)
    return cls(key, cause)


AIOHTTP: list[tuple[Exception, Kind, bool]] = [
    (connector_error(aiohttp.ClientConnectorError, OSError(111, "no")), Kind.TRANSPORT, True),
    (connector_error(aiohttp.ClientConnectorDNSError, OSError(-2, "no")), Kind.TRANSPORT, True),
    (connector_error(aiohttp.ClientConnectorSSLError, ssl.SSLError()), Kind.TRANSPORT, True),
    (aiohttp.ConnectionTimeoutError("t"), Kind.TRANSPORT, True),
    (aiohttp.SocketTimeoutError("t"), Kind.TIMEOUT, False),
    (aiohttp.ServerTimeoutError("t"), Kind.TIMEOUT, False),
    (aiohttp.ServerDisconnectedError(), Kind.TRANSPORT, False),
    (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), Kind.TRANSPORT, False),
    (aiohttp.ClientPayloadError("cut"), Kind.TRANSPORT, False),
]


@pytest.mark.parametrize(("error", "kind", "unsent"), AIOHTTP)
def test_aiohttp_transport(error: Exception, kind: Kind, unsent: bool) -> None:
    """Connection errors of aiohttp: unsent when no connection was made."""
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
        (from_aws(429, "ThrottlingException", "Too many tokens, please wait"), Kind.RATE_LIMIT),
        (from_aws(400, "ThrottlingException"), Kind.RATE_LIMIT),
        (from_aws(400, "ValidationException"), Kind.REQUEST),
        (from_aws(400, "ValidationException", "Input is too long for it."), Kind.CONTEXT_LENGTH),
        (from_aws(403, "AccessDeniedException"), Kind.CREDENTIALS),
        (from_aws(403, "ExpiredTokenException"), Kind.CREDENTIALS),
        (from_aws(404, "ResourceNotFoundException"), Kind.NOT_FOUND),
        (from_aws(424, "ModelErrorException"), Kind.SERVER),
        (from_aws(503, "ServiceUnavailableException"), Kind.OVERLOADED),
    ],
)
def test_botocore_client_error(error: Exception, kind: Kind) -> None:
    """The one error class of botocore is told apart by the code in its response."""
    assert (verdict(error).kind, verdict(error).retry_after) == (kind, 2.0)


def test_botocore_event_stream() -> None:
    """Case 62: an exception inside an AWS event stream has a code and no status."""
    error = botocore.EventStreamError({"Error": {"Code": "throttlingException"}}, "ConverseStream")
    assert (verdict(error).kind, verdict(error).status) == (Kind.RATE_LIMIT, None)


def test_botocore_that_retried() -> None:
    """Case 68: botocore's own retries are read from its response metadata."""
    assert verdict(from_aws(500, "InternalServerException", retries=3)).retried
    assert not verdict(from_aws(500, "InternalServerException")).retried


@pytest.mark.parametrize(
    ("error", "kind", "unsent"),
    [
        (botocore.EndpointConnectionError(endpoint_url="u"), Kind.TRANSPORT, True),
        (botocore.ConnectTimeoutError(endpoint_url="u"), Kind.TRANSPORT, True),
        (botocore.ReadTimeoutError(endpoint_url="u"), Kind.TIMEOUT, False),
        (botocore.ConnectionClosedError(endpoint_url="u"), Kind.TRANSPORT, False),
        (botocore.NoCredentialsError(), Kind.CREDENTIALS, False),
        (botocore.ParamValidationError(report="r"), Kind.REQUEST, False),
    ],
)
def test_botocore_local(error: Exception, kind: Kind, unsent: bool) -> None:
    """What botocore raises without an answer is told by its type."""
    assert (verdict(error).kind, verdict(error).unsent) == (kind, unsent)


@pytest.mark.parametrize(
    ("error", "kind", "unsent"),
    [
        (TimeoutError(), Kind.TIMEOUT, False),
        (ConnectionRefusedError(), Kind.TRANSPORT, True),
        (ConnectionResetError(), Kind.TRANSPORT, False),
        (BrokenPipeError(), Kind.TRANSPORT, False),
        (OSError(errno.ENETUNREACH, "no route"), Kind.TRANSPORT, False),
        (OSError("Multiple exceptions"), Kind.TRANSPORT, False),
        (socket.gaierror(-2, "unknown"), Kind.TRANSPORT, True),
        (ssl.SSLError(1, "bad record"), Kind.TRANSPORT, False),
        (ssl.SSLCertVerificationError(1, "expired"), Kind.TRANSPORT, True),
        (http.client.IncompleteRead(b"x", 5), Kind.TRANSPORT, False),
        (asyncio.IncompleteReadError(b"x", 5), Kind.TRANSPORT, False),
        (json.JSONDecodeError("x", "y", 0), Kind.TRANSPORT, False),
        (FileNotFoundError(errno.ENOENT, "prompts.txt"), Kind.UNKNOWN, False),
        (ValueError("Requested 5 tokens exceed context window of 4"), Kind.CONTEXT_LENGTH, False),
        (ValueError("too many tokens"), Kind.UNKNOWN, False),
    ],
)
def test_standard_library(error: Exception, kind: Kind, unsent: bool) -> None:
    """Case 70: the standard library's errors, a provider's own TimeoutError among them."""
    assert (verdict(error).kind, verdict(error).unsent) == (kind, unsent)


def test_reasons_hold_no_secret() -> None:
    """No reason carries anything of a body, a message or a header."""
    secret = "sk-live-1234"
    errors = [
        from_openai(status, openai_body(f"{secret} {TOO_LONG}", secret), {"x-key": secret})
        for status in (400, 401, 429, 500)
    ]
    errors.append(RuntimeError(secret))
    assert not any(secret in verdict(error).reason for error in errors)
