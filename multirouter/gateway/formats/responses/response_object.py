"""The response object: what surrounds the output of an answer in the Responses format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.core.cost.usage import usage_of
from multirouter.model import Usage

_ECHOED = (
    "background",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "temperature",
    "top_logprobs",
    "top_p",
    "user",
)
"""Fields that an answer repeats from its request."""


class ResponseObject:
    """Makes the states of one response.

    Args:
        body: the request, in the client's format.
        id_: the response's id.
        created: seconds since 1970.

    Attributes:
        id: the response's id.
    """

    def __init__(self, body: Mapping[str, Any], id_: str, created: int) -> None:
        self.id: str = id_
        text = {"format": {"type": "text"}, **(body.get("text") or {})}
        self._fields: dict[str, Any] = {
            "id": id_,
            "object": "response",
            "created_at": created,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": "",
            "output": [],
            "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": body.get("tools") or [],
            "text": text,
            "reasoning": {"effort": None, "summary": None, **(body.get("reasoning") or {})},
            "metadata": body.get("metadata") or {},
            "truncation": body.get("truncation") or "disabled",
            "usage": None,
            **{name: body.get(name) for name in _ECHOED},
        }

    def adopt(self, fields: Mapping[str, Any]) -> None:
        """Goes on with the response that another stream has begun, as it described it."""
        self._fields.update(fields)
        self.id = str(self._fields["id"])

    def state(self, model: str, **fields: Any) -> dict[str, Any]:
        """The response with some of its fields.

        Args:
            model: the model that answers.
            **fields: `status`, `output`, `usage`, `error`, `incomplete_details`.
        """
        return {**self._fields, "model": model, **fields}

    def ended(
        self, model: str, output: list[dict[str, Any]], reason: str | None, usage: Any
    ) -> dict[str, Any]:
        """The response at the end of an answer.

        Args:
            model: the model that answered.
            output: its items.
            reason: the finish reason.
            usage: the usage in OpenAI's terms, or None.
        """
        why = _INCOMPLETE.get(reason or "")
        if why == "content_filter" and _has_refusal(output):
            why = None  # the model answered, by refusing
        return self.state(
            model,
            status="incomplete" if why else "completed",
            incomplete_details={"reason": why} if why else None,
            output=output,
            usage=usage_counts(usage),
        )


_INCOMPLETE: Mapping[str, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is incomplete, for the finish reasons that say so."""


def usage_counts(usage: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Usage in the counts of the Responses format; None without any."""
    if usage is None:
        return None
    used = usage_of({"usage": usage}) or Usage()
    return {
        "input_tokens": used.input,
        "input_tokens_details": {
            "cached_tokens": used.cached,
            "cache_write_tokens": used.written,
        },
        "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": used.reasoning},
        "total_tokens": used.input + used.output,
    }


def _has_refusal(output: list[dict[str, Any]]) -> bool:
    return any(
        part.get("type") == "refusal" for item in output for part in item.get("content") or ()
    )
