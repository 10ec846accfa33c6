"""Verdicts on the exceptions of the real SDKs, made as the SDKs make them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google.genai import errors as genai

from multirouter.model import FailureKind, Verdict
from tests.core.classification import verdict
from tests.core.sdk_errors import (
    BAD_KEY,
    RETRY_INFO,
    URL,
    anthropic_body,
    from_anthropic,
    from_gemini,
    from_openai,
    gemini_body,
    openai_body,
    quota,
    response,
)

TOO_LONG = "This model's maximum context length is 8192 tokens. However, you asked for 9000."
BY_OPENAI: list[tuple[int, Any, FailureKind]] = [
    (400, openai_body("Bad value", "invalid_value"), FailureKind.REQUEST),
    (400, openai_body(TOO_LONG, "context_length_exceeded"), FailureKind.CONTEXT_LENGTH),
    (400, openai_body(TOO_LONG), FailureKind.CONTEXT_LENGTH),
    (400, openai_body("Input tokens exceed the configured limit of 9"), FailureKind.CONTEXT_LENGTH),
    (400, openai_body("Your input exceeds the context window of it"), FailureKind.CONTEXT_LENGTH),
    (
        400,
        openai_body("the request exceeds the available context size"),
        FailureKind.CONTEXT_LENGTH,
    ),
    (400, openai_body("string too long", "string_above_max_length"), FailureKind.REQUEST),
    (400, openai_body("max_tokens is too large: 9000. context window"), FailureKind.UNSUPPORTED),
    (400, openai_body("no", "content_policy_violation"), FailureKind.CONTENT_FILTER),
    (400, openai_body("no", "content_filter"), FailureKind.CONTENT_FILTER),
    (
        400,
        {"error": {"message": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        FailureKind.CONTENT_FILTER,
    ),
    (401, openai_body("Incorrect API key", "invalid_api_key"), FailureKind.CREDENTIALS),
    (402, openai_body("Insufficient Balance"), FailureKind.EXHAUSTED),
    (403, openai_body("no access", "model_not_found"), FailureKind.NOT_FOUND),
    (404, openai_body("no such model", "model_not_found"), FailureKind.NOT_FOUND),
    (404, b"<html>not here</html>", FailureKind.NOT_FOUND),
    (408, None, FailureKind.SERVER),
    (409, openai_body("conflict"), FailureKind.SERVER),
    (413, openai_body("too big"), FailureKind.REQUEST),
    (413, b"prompt is too long", FailureKind.CONTEXT_LENGTH),
    (413, openai_body("TPM", "rate_limit_exceeded", "tokens"), FailureKind.RATE_LIMIT),
    (422, {"detail": [{"loc": ["body"], "msg": "bad", "type": "missing"}]}, FailureKind.REQUEST),
    (418, None, FailureKind.REQUEST),
    (429, openai_body("slow down", "rate_limit_exceeded", "requests"), FailureKind.RATE_LIMIT),
    (429, openai_body("You exceeded your current quota", None, "requests"), FailureKind.RATE_LIMIT),
    (429, openai_body("pay", "insufficient_quota", "insufficient_quota"), FailureKind.EXHAUSTED),
    (500, openai_body("oops", None, "server_error"), FailureKind.SERVER),
    (502, b"<html>Bad gateway</html>", FailureKind.SERVER),
    (503, openai_body("overloaded"), FailureKind.OVERLOADED),
    (504, None, FailureKind.SERVER),
]


@pytest.mark.parametrize(("status", "body", "kind"), BY_OPENAI)
def test_openai_statuses(status: int, body: Any, kind: FailureKind) -> None:
    """Case 62: each answer of an OpenAI-shaped API gets its kind from code, phrase or status."""
    found = verdict(from_openai(status, body))
    assert (found.kind, found.status, found.retried) == (kind, status, False)


BY_ANTHROPIC: list[tuple[int, Any, FailureKind]] = [
    (400, anthropic_body("bad", "invalid_request_error"), FailureKind.REQUEST),
    (
        400,
        anthropic_body("prompt is too long: 210000 tokens > 200000", "invalid_request_error"),
        FailureKind.CONTEXT_LENGTH,
    ),
    (
        400,
        anthropic_body("input length and `max_tokens` exceed context limit: 1 + 2", "x"),
        FailureKind.CONTEXT_LENGTH,
    ),
    (
        400,
        anthropic_body("Output blocked by content filtering policy", "invalid_request_error"),
        FailureKind.CONTENT_FILTER,
    ),
    (
        400,
        anthropic_body("Your credit balance is too low to access it", "invalid_request_error"),
        FailureKind.EXHAUSTED,
    ),
    (
        400,
        anthropic_body("held", "invalid_request_error", "organization_on_hold"),
        FailureKind.CREDENTIALS,
    ),
    (401, anthropic_body("bad key", "authentication_error"), FailureKind.CREDENTIALS),
    (402, anthropic_body("pay", "billing_error"), FailureKind.EXHAUSTED),
    (403, anthropic_body("no", "permission_error"), FailureKind.CREDENTIALS),
    (404, anthropic_body("model: nope", "not_found_error"), FailureKind.NOT_FOUND),
    (413, anthropic_body("Request exceeds", "request_too_large"), FailureKind.CONTEXT_LENGTH),
    (429, anthropic_body("limit", "rate_limit_error"), FailureKind.RATE_LIMIT),
    (
        429,
        anthropic_body("slow", "rate_limit_error", "ramp_limit_exceeded"),
        FailureKind.RATE_LIMIT,
    ),
    (
        429,
        anthropic_body("x", "rate_limit_error", "enforced_spend_limit_reached"),
        FailureKind.EXHAUSTED,
    ),
    (
        429,
        anthropic_body("x", "rate_limit_error", "contract_spend_limit_reached"),
        FailureKind.EXHAUSTED,
    ),
    (500, anthropic_body("x", "api_error"), FailureKind.SERVER),
    (504, anthropic_body("x", "timeout_error"), FailureKind.SERVER),
    (529, anthropic_body("Overloaded", "overloaded_error"), FailureKind.OVERLOADED),
    # An error event in a stream that began with 200:
    (200, anthropic_body("Overloaded", "overloaded_error"), FailureKind.OVERLOADED),
    (200, anthropic_body("x", "rate_limit_error"), FailureKind.RATE_LIMIT),
    (200, anthropic_body("x", "api_error"), FailureKind.SERVER),
    (200, anthropic_body("x", "permission_error"), FailureKind.CREDENTIALS),
    (200, anthropic_body("x", "something_new"), FailureKind.TRANSPORT),
]


@pytest.mark.parametrize(("status", "body", "kind"), BY_ANTHROPIC)
def test_anthropic_statuses(status: int, body: Any, kind: FailureKind) -> None:
    """Case 62: each answer of the Messages API gets its kind, error events in streams too."""
    found = verdict(from_anthropic(status, body))
    assert found.kind is kind
    assert found.certain is ("permission_error" not in json.dumps(body))


BY_GEMINI: list[tuple[int, Any, FailureKind, float | None]] = [
    (400, gemini_body(400, "INVALID_ARGUMENT", "bad field"), FailureKind.REQUEST, None),
    (
        400,
        gemini_body(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed (9).",
        ),
        FailureKind.CONTEXT_LENGTH,
        None,
    ),
    (
        400,
        gemini_body(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520"),
        FailureKind.CONTEXT_LENGTH,
        None,
    ),
    (400, gemini_body(400, "INVALID_ARGUMENT", "x", BAD_KEY), FailureKind.CREDENTIALS, None),
    (
        400,
        gemini_body(400, "INVALID_ARGUMENT", "API key not valid."),
        FailureKind.CREDENTIALS,
        None,
    ),
    (403, gemini_body(403, "PERMISSION_DENIED", "no"), FailureKind.CREDENTIALS, None),
    (404, gemini_body(404, "NOT_FOUND", "models/x is not found"), FailureKind.NOT_FOUND, None),
    (
        429,
        gemini_body(429, "RESOURCE_EXHAUSTED", "x", quota("RequestsPerMinute"), RETRY_INFO),
        FailureKind.RATE_LIMIT,
        34.07,
    ),
    (
        429,
        [gemini_body(429, "RESOURCE_EXHAUSTED", "x", RETRY_INFO)],
        FailureKind.RATE_LIMIT,
        34.07,
    ),
    (
        429,
        gemini_body(429, "RESOURCE_EXHAUSTED", "Quota exceeded. Please retry in 58.2s."),
        FailureKind.RATE_LIMIT,
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
        FailureKind.EXHAUSTED,
        None,
    ),
    (500, gemini_body(500, "INTERNAL", "x"), FailureKind.SERVER, None),
    (
        503,
        gemini_body(503, "UNAVAILABLE", "The model is overloaded."),
        FailureKind.OVERLOADED,
        None,
    ),
    (504, gemini_body(504, "DEADLINE_EXCEEDED", "x"), FailureKind.SERVER, None),
    (499, gemini_body(499, "CANCELLED", "x"), FailureKind.SERVER, None),
    (502, b"<html>", FailureKind.SERVER, None),
]


@pytest.mark.parametrize(("status", "body", "kind", "wait"), BY_GEMINI)
def test_gemini_statuses(status: int, body: Any, kind: FailureKind, wait: float | None) -> None:
    """Cases 61 and 62: Gemini's kinds and its retryDelay, in a list and in a message too."""
    found = verdict(from_gemini(status, body))
    assert (found.kind, found.status, found.retry_after) == (kind, status, wait)


def test_gemini_body_inside_a_message() -> None:
    """A front end that puts the whole inner body into `message` hides nothing."""
    inner = json.dumps(gemini_body(429, "RESOURCE_EXHAUSTED", "x", quota("RequestsPerDay")))
    outer = {"error": {"message": inner, "code": 429, "status": "Too Many Requests"}}
    assert verdict(from_gemini(429, outer)).kind is FailureKind.EXHAUSTED


@pytest.mark.parametrize("package", [openai, anthropic])
def test_sdk_wrappers_without_a_known_cause(package: Any) -> None:
    """A wrapper whose cause is unknown is judged by its own type."""
    request = httpx2.Request("POST", URL)
    lost, late = package.APIConnectionError(request=request), package.APITimeoutError(request)
    lost.__cause__ = ValueError("no idea")
    assert (verdict(lost).kind, verdict(lost).unsent) == (FailureKind.TRANSPORT, False)
    assert verdict(late).kind is FailureKind.TIMEOUT


def test_sdk_errors_without_an_error_status() -> None:
    """They are distinguished by their type."""
    unreadable = openai.APIResponseValidationError(response(200, {}), {})
    assert verdict(unreadable).kind is FailureKind.TRANSPORT
    assert verdict(openai.ContentFilterFinishReasonError()).kind is FailureKind.CONTENT_FILTER
    assert verdict(anthropic.IdentityTokenFileError("x")).kind is FailureKind.CREDENTIALS
    assert verdict(genai.UnknownApiResponseError("x")).kind is FailureKind.TRANSPORT


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"message": "x", "code": "server_error"}, FailureKind.SERVER),
        ({"message": "x", "code": "rate_limit_exceeded"}, FailureKind.RATE_LIMIT),
        ({"message": "x", "code": "context_length_exceeded"}, FailureKind.CONTEXT_LENGTH),
        ({"message": "x", "code": 429}, FailureKind.RATE_LIMIT),
        ({"message": "x", "code": 402}, FailureKind.EXHAUSTED),
        ({"message": "x"}, FailureKind.SERVER),
    ],
)
def test_openai_error_event(body: dict[str, Any], kind: FailureKind) -> None:
    """An error event inside a stream has no status: its code, a word or a number, decides."""
    assert verdict(openai.APIError("x", httpx2.Request("POST", URL), body=body)).kind is kind


@pytest.mark.parametrize("make", [from_openai, from_anthropic])
def test_sdk_retry_count_marks_the_error(make: Callable[..., Exception]) -> None:
    """Case 68: the SDK's own retry count on the request marks its error as already retried."""
    error = make(500, None)
    error.request.headers["x-stainless-retry-count"] = "2"  # type: ignore[attr-defined]
    assert verdict(error).retried
    assert verdict(make(500, None, {"x-should-retry": "false"})).retried
    assert not verdict(make(500, None, {"x-should-retry": "true"})).retried


def test_a_real_sdk_client_that_retried() -> None:
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
    """Case 61: a 429 without Retry-After waits for the limit that is used up."""
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "9",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert verdict(from_openai(429, None, headers)).retry_after == 1.0
    assert verdict(from_openai(500, None, headers)).retry_after is None
    assert verdict(from_openai(503, None, headers | {"retry-after": "4"})).retry_after == 4.0


def test_reasons_contain_no_secret() -> None:
    """No reason contains anything of a body, a message or a header."""
    secret = "sk-live-1234"
    errors = [
        from_openai(status, openai_body(f"{secret} {TOO_LONG}", secret), {"x-key": secret})
        for status in (400, 401, 429, 500)
    ]
    errors.append(RuntimeError(secret))
    assert not any(secret in verdict(error).reason for error in errors)
