"""The formats in which a door tells an error: as a body, and in the middle of a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from multirouter.gateway.refusals import Refusal

ShapeName = Literal["openai", "anthropic"]

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
_TOO_LONG = "prompt is too long"
"""The words by which clients of Anthropic know that error; it has no code of its own there."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One door's format for errors."""

    name: ShapeName

    def body(self, refusal: Refusal, request_id: str) -> dict[str, Any]:
        """The error as a JSON object."""
        return _anthropic(refusal, request_id) if self.name == "anthropic" else _openai(refusal)

    def event(self, refusal: Refusal, request_id: str) -> bytes:
        """The error as an event of a stream; official SDKs raise at it."""
        data = json.dumps(self.body(refusal, request_id), separators=(",", ":")).encode()
        name = b"event: error\n" if self.name == "anthropic" else b""
        return b"%sdata: %s\n\n" % (name, data)


OPENAI = Shape("openai")
ANTHROPIC = Shape("anthropic")


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


def retry_headers(refusal: Refusal) -> dict[str, str]:
    """What makes SDKs wait as long as they should, or not try again at all."""
    headers: dict[str, str] = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, -int(-refusal.retry_after // 1)))
        headers["Retry-After-Ms"] = str(max(1, -int(-refusal.retry_after * 1000 // 1)))
    if refusal.retry is not None:
        headers["X-Should-Retry"] = "true" if refusal.retry else "false"
    return headers
