"""Translates a canonical answer to Anthropic's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.core.cost.usage import usage_of
from multirouter.gateway.formats.openai.normalize_answers import reasoning_text
from multirouter.model import Usage
from multirouter.providers.arguments import arguments_object

STOP_REASONS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""Anthropic's stop reason for each finish reason."""


def stop_reason(finish_reason: str, *, called: bool) -> str:
    """The stop reason. Services that say `stop` beside calls mean that the calls are to be made."""
    if called and finish_reason == "stop":
        return "tool_use"
    return STOP_REASONS.get(finish_reason, "end_turn")


def to_message(answer: Mapping[str, Any], request_id: str) -> dict[str, Any]:
    """The whole answer as a message.

    Args:
        answer: a normalized canonical response; its first choice is used.
        request_id: the base of the message's id, if the answer's id is not Anthropic's.
    """
    choice = answer["choices"][0]
    called = bool(choice["message"].get("tool_calls"))
    return {
        **empty_message(answer["id"], answer["model"], request_id),
        "content": _blocks(choice["message"]),
        "stop_reason": stop_reason(choice["finish_reason"], called=called),
        "usage": usage_counts(answer.get("usage")),
    }


def empty_message(id_: str, model: str, request_id: str) -> dict[str, Any]:
    """A message without content, as a stream starts with."""
    return {
        "id": id_ if id_.startswith("msg_") else f"msg_{request_id.removeprefix('req_')}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_counts(None),
    }


def usage_counts(usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Usage in Anthropic's counts: cache reads and writes are apart from the input."""
    used = usage_of({"usage": usage}) or Usage()
    return {
        "input_tokens": max(0, used.input - used.cached - used.written),
        "output_tokens": used.output,
        "cache_read_input_tokens": used.cached,
        "cache_creation_input_tokens": used.written,
    }


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [dict(block) for block in message.get("thinking_blocks") or ()]
    thinking = reasoning_text(message)
    if not blocks and thinking:
        blocks.append({"type": "thinking", "thinking": thinking, "signature": ""})
    text = message.get("content") or message.get("refusal")
    if text:
        blocks.append({"type": "text", "text": text})
    for call in message.get("tool_calls") or ():
        function = call.get("function")
        if function:
            arguments = arguments_object(function.get("arguments"))
            name = function.get("name") or ""
            blocks.append({"type": "tool_use", "id": call["id"], "name": name, "input": arguments})
    return blocks
