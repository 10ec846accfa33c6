"""Reads what matters out of canonical responses and chunks, whatever may be absent in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.providers.canonical import Usage


def text_of(answer: Mapping[str, Any]) -> str:
    """The text of the first choice of a response or a chunk, "" when it has none."""
    for choice in answer.get("choices") or ():
        if choice.get("index", 0) == 0:
            said = choice.get("message") or choice.get("delta") or {}
            content = said.get("content")
            return content if isinstance(content, str) else ""
    return ""


def has_content(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk brings anything of the answer: text, thinking, a tool call, a refusal.

    The first chunk of a stream has a role and nothing else: it proves nothing yet.
    """
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        if any(delta.get(field) for field in _CONTENT):
            return True
    return False


_CONTENT = (
    "content",
    "tool_calls",
    "refusal",
    "reasoning_content",
    "reasoning",
    "thinking_blocks",
    "function_call",
    "audio",
)


def has_tool_calls(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk brings a piece of a tool call."""
    return any(
        (choice.get("delta") or {}).get("tool_calls") for choice in chunk.get("choices") or ()
    )


def is_finished(chunk: Mapping[str, Any]) -> bool:
    """Whether a choice ends in this chunk."""
    return any(choice.get("finish_reason") for choice in chunk.get("choices") or ())


def usage_of(answer: Mapping[str, Any]) -> Usage | None:
    """The tokens a response or a chunk reports, or None."""
    usage: Usage | None = answer.get("usage")
    return usage or None
