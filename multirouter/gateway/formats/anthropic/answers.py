"""A canonical answer in Anthropic's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.core.cost.usage import usage_of
from multirouter.model import Usage
from multirouter.providers.arguments import arguments_object

STOPS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""What each finish reason is called there."""


def to_message(answer: Mapping[str, Any], request_id: str) -> dict[str, Any]:
    """The whole answer.

    Args:
        answer: a tidied canonical response; its first choice is told.
        request_id: what an id is made of that has not Anthropic's form.
    """
    choice = answer["choices"][0]
    return {
        **opening(answer["id"], answer["model"], request_id),
        "content": _blocks(choice["message"]),
        "stop_reason": STOPS.get(choice["finish_reason"], "end_turn"),
        "usage": counts(answer.get("usage")),
    }


def opening(id_: str, model: str, request_id: str) -> dict[str, Any]:
    """A message that has not said anything yet."""
    return {
        "id": id_ if id_.startswith("msg_") else f"msg_{request_id.removeprefix('req_')}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": counts(None),
    }


def counts(usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Usage as Anthropic counts it: what the cache read and wrote is apart from the input."""
    told = usage_of({"usage": usage}) or Usage()
    return {
        "input_tokens": max(0, told.input - told.cached - told.written),
        "output_tokens": told.output,
        "cache_read_input_tokens": told.cached,
        "cache_creation_input_tokens": told.written,
    }


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [dict(block) for block in message.get("thinking_blocks") or ()]
    if not blocks and message.get("reasoning_content"):
        thought = message["reasoning_content"]
        blocks.append({"type": "thinking", "thinking": thought, "signature": ""})
    text = message.get("content") or message.get("refusal")
    if text:
        blocks.append({"type": "text", "text": text})
    for call in message.get("tool_calls") or ():
        function = call.get("function")
        if function:
            asked = arguments_object(function.get("arguments"))
            name = function.get("name") or ""
            blocks.append({"type": "tool_use", "id": call["id"], "name": name, "input": asked})
    return blocks
