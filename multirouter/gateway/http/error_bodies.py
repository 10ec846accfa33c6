"""The formats in which a door tells an error: as a body, and in the middle of a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from multirouter.gateway.http.error_responses import Refusal

ShapeName = Literal["openai", "anthropic", "gemini"]

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
_TOO_LONG = "prompt is too long"
"""The words by which clients of Anthropic know that error; it has no code of its own there."""

_TOO_MANY = "exceeds the maximum number of tokens"
"""The words by which clients of Gemini know it."""


def as_event(data: bytes) -> bytes:
    """JSON as a server-sent event."""
    return b"data: %s\n\n" % data


@dataclass(frozen=True, slots=True)
class Shape:
    """One door's format for errors, and what its streams are made of.

    Attributes:
        name: whose it is.
        comment: what keeps a stream alive, and says nothing.
        key_in_address: whether clients may send their key as `?key=`.
        content_type: of a stream.
        frame: makes JSON a piece of a stream.
        closing: what stands behind the last piece.
    """

    name: ShapeName
    comment: bytes = b": waiting\n\n"
    key_in_address: bool = False
    content_type: str = "text/event-stream"
    frame: Callable[[bytes], bytes] = as_event
    closing: bytes = b""

    def body(self, refusal: Refusal, request_id: str) -> dict[str, Any]:
        """The error as a JSON object."""
        if self.name == "anthropic":
            return _anthropic(refusal, request_id)
        return _gemini(refusal, request_id) if self.name == "gemini" else _openai(refusal)

    def event(self, refusal: Refusal, request_id: str) -> bytes:
        """The error as the last piece of a stream; official SDKs raise at it."""
        data = json.dumps(self.body(refusal, request_id), separators=(",", ":")).encode()
        name = b"event: error\n" if self.name == "anthropic" else b""
        return name + self.frame(data) + self.closing


OPENAI = Shape("openai")
ANTHROPIC = Shape("anthropic")
# google-genai reads a comment as a piece of the answer, and fails; a blank line it skips.
GEMINI = Shape("gemini", comment=b"\n", key_in_address=True)


def shape_of(path: str, headers: Mapping[str, str]) -> Shape:
    """The format of whoever asks, where the door does not settle it."""
    if "anthropic-version" in headers:
        return ANTHROPIC
    if "x-goog-api-key" in headers or path.startswith("/v1beta/"):
        return GEMINI
    return OPENAI


def _openai(refusal: Refusal) -> dict[str, Any]:
    fallback = "server_error" if refusal.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": refusal.message,
            "type": _OPENAI.get(refusal.status, fallback),
            "param": refusal.param,
            "code": refusal.code,
        }
    }


def _anthropic(refusal: Refusal, request_id: str) -> dict[str, Any]:
    fallback = "api_error" if refusal.status >= 500 else "invalid_request_error"
    message = refusal.message
    if refusal.code == "context_length_exceeded" and _TOO_LONG not in message:
        message = f"{_TOO_LONG}: {message}"
    kind = _ANTHROPIC.get(refusal.status, fallback)
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": request_id,
    }


def _gemini(refusal: Refusal, request_id: str) -> dict[str, Any]:
    message = refusal.message
    if refusal.code == "context_length_exceeded" and _TOO_MANY not in message:
        message = f"The input token count {_TOO_MANY} allowed: {message}"
    reason = (refusal.code or "failed").upper()
    details: list[dict[str, Any]] = [
        {
            "@type": f"{_RPC}.ErrorInfo",
            "reason": reason,
            "domain": "multirouter",
            "metadata": {"requestId": request_id},
        }
    ]
    if refusal.retry_after is not None:
        rest = f"{refusal.retry_after:.3f}s"
        details.append({"@type": f"{_RPC}.RetryInfo", "retryDelay": rest})
    status = _GEMINI.get(refusal.status, "INVALID_ARGUMENT" if refusal.status < 500 else "INTERNAL")
    error = {"code": refusal.status, "message": message, "status": status, "details": details}
    return {"error": error}


def refusal_headers(refusal: Refusal) -> dict[str, str]:
    """What makes SDKs wait as long as they should, or not try again at all; and what is allowed."""
    headers: dict[str, str] = {}
    if refusal.allow:
        headers["Allow"] = ", ".join(refusal.allow)
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, -int(-refusal.retry_after // 1)))
        headers["Retry-After-Ms"] = str(max(1, -int(-refusal.retry_after * 1000 // 1)))
    if refusal.retry is not None:
        headers["X-Should-Retry"] = "true" if refusal.retry else "false"
    return headers
