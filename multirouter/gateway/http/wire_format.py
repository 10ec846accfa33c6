"""Wire formats of errors and streams: OpenAI, Anthropic, Gemini."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from multirouter.gateway.http.http_error import HTTPError

FormatName = Literal["openai", "responses", "anthropic", "gemini"]

_OPENAI: Mapping[int, str] = {429: "rate_limit_error"}
_ANTHROPIC: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_GEMINI: Mapping[int, str] = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_RPC = "type.googleapis.com/google.rpc"
_ANTHROPIC_TOO_LONG = "prompt is too long"
"""The words by which clients of Anthropic recognize that error; it has no code of its own there."""

_GEMINI_TOO_LONG = "exceeds the maximum number of tokens"
"""The words by which clients of Gemini recognize it."""


def sse_event(data: bytes) -> bytes:
    """JSON as a server-sent event."""
    return b"data: %s\n\n" % data


def named_event(name: str, data: bytes) -> bytes:
    """Data of one or more lines as a server-sent event with a name; "" for none."""
    head = b"event: %s\n" % name.encode() if name else b""
    return head + b"".join(b"data: %s\n" % line for line in data.split(b"\n")) + b"\n"


@dataclass(frozen=True, slots=True)
class WireFormat:
    """Format in which an endpoint sends errors and streams.

    Attributes:
        name: the vendor of the format.
        comment: bytes that keep a stream alive and carry no data.
        key_in_query: whether clients may send their key as `?key=`.
        content_type: the content type of a stream.
        frame: makes a JSON document an element of a stream.
        closing: bytes behind the last element.
        header_prefix: what the names of headers begin with that providers of the format read; ""
            for none.
        request_id_header: the header in which clients look for the id of the request, beside
            `X-Request-Id`; "" for none.
        passes_query: whether providers of the format get the query of the URL.
    """

    name: FormatName
    comment: bytes = b": waiting\n\n"
    key_in_query: bool = False
    content_type: str = "text/event-stream"
    frame: Callable[[bytes], bytes] = sse_event
    closing: bytes = b""
    header_prefix: str = ""
    request_id_header: str = ""
    passes_query: bool = False

    def own_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers of a request that providers of the format read, in lower case."""
        if not self.header_prefix:
            return {}
        names = ((name.lower(), value) for name, value in headers.items())
        return {name: value for name, value in names if name.startswith(self.header_prefix)}

    def error_body(self, error: HTTPError, request_id: str) -> dict[str, Any]:
        """The error as a JSON object."""
        if self.name == "anthropic":
            return _anthropic(error, request_id)
        return _gemini(error, request_id) if self.name == "gemini" else _openai(error)

    def error_event(self, error: HTTPError, request_id: str) -> bytes:
        """The error as the last element of a stream; official SDKs raise an exception for it."""
        data = json.dumps(self.error_body(error, request_id), separators=(",", ":")).encode()
        name = b"event: error\n" if self.name == "anthropic" else b""
        return name + self.frame(data) + self.closing


OPENAI = WireFormat("openai")
RESPONSES = WireFormat("responses", header_prefix="openai-")
ANTHROPIC = WireFormat(
    "anthropic", header_prefix="anthropic-", request_id_header="request-id", passes_query=True
)
# google-genai reads a comment as an element of the answer, and fails; it skips a blank line.
GEMINI = WireFormat("gemini", comment=b"\n", key_in_query=True)


def client_format(path: str, headers: Mapping[str, str]) -> WireFormat:
    """The format of the client, for endpoints that several formats share."""
    if "anthropic-version" in headers:
        return ANTHROPIC
    if "x-goog-api-key" in headers or path.startswith("/v1beta/"):
        return GEMINI
    return OPENAI


def _openai(error: HTTPError) -> dict[str, Any]:
    default = "server_error" if error.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": error.message,
            "type": _OPENAI.get(error.status, default),
            "param": error.param,
            "code": error.code,
        }
    }


def _anthropic(error: HTTPError, request_id: str) -> dict[str, Any]:
    default = "api_error" if error.status >= 500 else "invalid_request_error"
    message = error.message
    if error.code == "context_length_exceeded" and _ANTHROPIC_TOO_LONG not in message:
        message = f"{_ANTHROPIC_TOO_LONG}: {message}"
    kind = _ANTHROPIC.get(error.status, default)
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": request_id,
    }


def _gemini(error: HTTPError, request_id: str) -> dict[str, Any]:
    message = error.message
    if error.code == "context_length_exceeded" and _GEMINI_TOO_LONG not in message:
        message = f"The input token count {_GEMINI_TOO_LONG} allowed: {message}"
    details: list[dict[str, Any]] = [
        {
            "@type": f"{_RPC}.ErrorInfo",
            "reason": (error.code or "failed").upper(),
            "domain": "multirouter",
            "metadata": {"requestId": request_id},
        }
    ]
    if error.retry_after is not None:
        delay = f"{error.retry_after:.3f}s"
        details.append({"@type": f"{_RPC}.RetryInfo", "retryDelay": delay})
    default = "INVALID_ARGUMENT" if error.status < 500 else "INTERNAL"
    status = _GEMINI.get(error.status, default)
    body = {"code": error.status, "message": message, "status": status, "details": details}
    return {"error": body}


def error_headers(error: HTTPError) -> dict[str, str]:
    """Response headers of an error: what is allowed, and when or whether SDKs should retry."""
    headers: dict[str, str] = {}
    if error.allow:
        headers["Allow"] = ", ".join(error.allow)
    if error.accept_encoding:
        headers["Accept-Encoding"] = ", ".join(error.accept_encoding)
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, -int(-error.retry_after // 1)))
        headers["Retry-After-Ms"] = str(max(1, -int(-error.retry_after * 1000 // 1)))
    if error.retry is not None:
        headers["X-Should-Retry"] = "true" if error.retry else "false"
    return headers
