"""Translates a response of Anthropic Messages to a canonical response."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from multirouter.providers.arguments import arguments_text
from multirouter.providers.canonical import (
    Answer,
    ChatCompletion,
    Choice,
    FinishReason,
    ToolCall,
    Usage,
)
from multirouter.providers.chunks import nested_counts, token_count, usage
from multirouter.providers.error_factory import ErrorFactory

FINISH: Mapping[str, FinishReason] = MappingProxyType(
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "pause_turn": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "tool_use": "tool_calls",
        "refusal": "content_filter",
    }
)
"""Finish reason for each stop reason. An unknown stop reason counts as `stop`."""

_THINKING_TYPES = frozenset({"thinking", "redacted_thinking"})


def from_anthropic(body: Mapping[str, Any], created: int, errors: ErrorFactory) -> ChatCompletion:
    """Returns the canonical response.

    Args:
        body: the parsed response.
        created: seconds since 1970; the format has no time of its own.
        errors: makes the errors.

    Raises:
        ProviderError: of kind `transport`, when the body is not a message.
    """
    blocks = body.get("content")
    reason = body.get("stop_reason")
    if not isinstance(blocks, list) or not isinstance(reason, str):
        raise errors.invalid_response("the response has no content or no stop_reason")
    choice: Choice = {
        "index": 0,
        "finish_reason": FINISH.get(reason, "stop"),
        "message": _answer(blocks, body.get("stop_details")),
        "logprobs": None,
    }
    if choice["finish_reason"] == "content_filter":
        choice["native_finish_reason"] = reason
    return {
        "id": str(body.get("id", "")),
        "object": "chat.completion",
        "created": created,
        "model": str(body.get("model", "")),
        "choices": [choice],
        "usage": usage_from(body.get("usage") or {}),
    }


def usage_from(counts: object) -> Usage:
    """Returns usage. `input_tokens` exclude what the cache read or wrote; OpenAI's do not."""
    read = token_count(counts, "cache_read_input_tokens")
    written = token_count(counts, "cache_creation_input_tokens")
    return usage(
        prompt=token_count(counts, "input_tokens") + read + written,
        completion=token_count(counts, "output_tokens"),
        cached=read,
        written=written,
        reasoning=token_count(nested_counts(counts, "output_tokens_details"), "thinking_tokens"),
    )


def refusal_text(details: Any) -> str | None:
    """Returns why a model refused, or None when it does not say."""
    if not isinstance(details, dict) or details.get("type") != "refusal":
        return None
    return details.get("explanation") or details.get("category")


def _answer(blocks: list[Any], stop_details: Any) -> Answer:
    text = "".join(b.get("text") or "" for b in blocks if b.get("type") == "text")
    calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    thinking = [block for block in blocks if block.get("type") in _THINKING_TYPES]
    answer: Answer = {
        "role": "assistant",
        "content": text or (None if calls else ""),
        "refusal": refusal_text(stop_details),
    }
    if calls:
        answer["tool_calls"] = calls
    if thinking:
        answer["thinking_blocks"] = thinking
        answer["reasoning_content"] = "".join(b.get("thinking") or "" for b in thinking)
    return answer


def _call(block: Mapping[str, Any]) -> ToolCall:
    arguments = arguments_text(block.get("input"))
    return {
        "id": block["id"],
        "type": "function",
        "function": {"name": block["name"], "arguments": arguments},
    }
