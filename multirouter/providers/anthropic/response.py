"""An answer of Anthropic Messages as a canonical response."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from multirouter.providers.arguments import arguments_text
from multirouter.providers.canonical import Answer, ChatCompletion, FinishReason, ToolCall, Usage
from multirouter.providers.chunks import usage
from multirouter.providers.failures import Failures

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
"""Stop reasons; one that is not here is a new way to stop."""

_THOUGHTS = frozenset({"thinking", "redacted_thinking"})


def from_anthropic(body: Mapping[str, Any], created: int, failures: Failures) -> ChatCompletion:
    """The canonical response.

    Args:
        body: the parsed answer.
        created: seconds since 1970; the format itself tells no time.
        failures: makes the errors.

    Raises:
        ProviderError: of kind `transport`, when it is no message.
    """
    blocks = body.get("content")
    reason = body.get("stop_reason")
    if not isinstance(blocks, list) or not isinstance(reason, str):
        raise failures.rubbish("the answer has no content or no stop_reason")
    return {
        "id": str(body.get("id", "")),
        "object": "chat.completion",
        "created": created,
        "model": str(body.get("model", "")),
        "choices": [
            {
                "index": 0,
                "finish_reason": FINISH.get(reason, "stop"),
                "message": _answer(blocks, body.get("stop_details")),
                "logprobs": None,
            }
        ],
        "usage": usage_from(body.get("usage") or {}),
    }


def usage_from(counts: Mapping[str, Any]) -> Usage:
    """Usage; `input_tokens` leave out what the cache read and wrote, OpenAI's do not."""
    read = counts.get("cache_read_input_tokens") or 0
    written = counts.get("cache_creation_input_tokens") or 0
    details = counts.get("output_tokens_details") or {}
    return usage(
        prompt=(counts.get("input_tokens") or 0) + read + written,
        completion=counts.get("output_tokens") or 0,
        cached=read,
        written=written,
        reasoning=details.get("thinking_tokens") or 0,
    )


def refusal_in(details: Any) -> str | None:
    """Why a model refused, as far as it says."""
    if not isinstance(details, dict) or details.get("type") != "refusal":
        return None
    return details.get("explanation") or details.get("category")


def _answer(blocks: list[Any], stop_details: Any) -> Answer:
    text = "".join(b.get("text") or "" for b in blocks if b.get("type") == "text")
    calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    thoughts = [block for block in blocks if block.get("type") in _THOUGHTS]
    answer: Answer = {
        "role": "assistant",
        "content": text or (None if calls else ""),
        "refusal": refusal_in(stop_details),
    }
    if calls:
        answer["tool_calls"] = calls
    if thoughts:
        answer["thinking_blocks"] = thoughts
        answer["reasoning_content"] = "".join(b.get("thinking") or "" for b in thoughts)
    return answer


def _call(block: Mapping[str, Any]) -> ToolCall:
    arguments = arguments_text(block.get("input"))
    return {
        "id": block["id"],
        "type": "function",
        "function": {"name": block["name"], "arguments": arguments},
    }
