"""Exceptions of the real SDKs, made as the SDKs make them, and error bodies of their APIs."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google.genai import errors as genai

URL = "https://api.example.com/v1/chat"


def response(
    status: int, body: Any = None, headers: dict[str, str] | None = None, sdk: Any = httpx2
) -> Any:
    """A response of an SDK's HTTP client; a body that is not bytes is sent as JSON."""
    request = sdk.Request("POST", URL, headers={"x-stainless-retry-count": "0"})
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return sdk.Response(status, content=content, headers=headers, request=request)


def from_openai(status: int, body: Any, headers: dict[str, str] | None = None) -> Exception:
    """The exception that the OpenAI SDK makes of a response."""
    client = openai.AsyncOpenAI(api_key="sk-test")
    return client._make_status_error_from_response(response(status, body, headers))


def from_anthropic(status: int, body: Any, headers: dict[str, str] | None = None) -> Exception:
    """The exception that the Anthropic SDK makes of a response."""
    client = anthropic.AsyncAnthropic(api_key="sk-test")
    return client._make_status_error_from_response(response(status, body, headers))


def from_gemini(status: int, body: Any, headers: dict[str, str] | None = None) -> Exception:
    """The exception that the Google SDK makes of a response."""
    with pytest.raises(genai.APIError) as caught:
        genai.APIError.raise_for_response(response(status, body, headers))
    return caught.value


def openai_body(message: str, code: str | None = None, type_: str = "invalid_request_error") -> Any:
    """An error body of an OpenAI-shaped API."""
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def anthropic_body(message: str, type_: str, error_code: str | None = None) -> Any:
    """An error body of the Messages API."""
    error: dict[str, Any] = {"type": type_, "message": message}
    if error_code:
        error["details"] = {"error_code": error_code}
    return {"type": "error", "error": error, "request_id": "req_1"}


def gemini_body(code: int, status: str, message: str, *details: dict[str, Any]) -> Any:
    """An error body of the Gemini API."""
    return {"error": {"code": code, "message": message, "status": status, "details": details}}


def quota(*ids: str) -> dict[str, Any]:
    """The detail of a Gemini error that names quotas."""
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaMetric": "generativelanguage/x", "quotaId": id_} for id_ in ids],
    }


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
