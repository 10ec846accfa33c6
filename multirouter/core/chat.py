"""What a chat answer says: text, content, end and usage, out of responses and chunks as dicts.

The canonical shape is that of OpenAI's Chat Completions; whatever may be absent may be absent.
Source: OpenAI API reference, Chat Completions, objects chat.completion and chat.completion.chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONTENT_FIELDS = (
    "content",
    "tool_calls",
    "refusal",
    "reasoning_content",
    "reasoning",
    "thinking_blocks",
    "function_call",
    "audio",
)
"""Fields of a delta that bring something of the answer; a role alone proves nothing yet."""


def is_chunk(chunk: object) -> bool:
    """Whether this looks like a chunk of a chat stream."""
    return isinstance(chunk, Mapping) and isinstance(chunk.get("choices"), list)


def text_of(answer: Mapping[str, Any]) -> str:
    """The text of the first choice of a response or a chunk, "" when it has none."""
    for choice in answer.get("choices") or ():
        if choice.get("index", 0) == 0:
            said = choice.get("message") or choice.get("delta") or {}
            content = said.get("content")
            return content if isinstance(content, str) else ""
    return ""


def has_content(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk brings anything of the answer: text, thinking, a tool call, a refusal."""
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        if any(delta.get(field) for field in CONTENT_FIELDS):
            return True
    return False


def has_tool_calls(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk brings a piece of a tool call."""
    return any(
        (choice.get("delta") or {}).get("tool_calls") for choice in chunk.get("choices") or ()
    )


def is_finished(chunk: Mapping[str, Any]) -> bool:
    """Whether a choice ends in this chunk."""
    return any(choice.get("finish_reason") for choice in chunk.get("choices") or ())


def is_last(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk with usage tells the whole of it: at the end, or after it."""
    return not chunk.get("choices") or is_finished(chunk)


def letters_of(chunk: Mapping[str, Any]) -> int:
    """Characters that a chunk brings: text, thinking, refusal, arguments of tool calls."""
    letters = 0
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        for said in map(delta.get, ("content", "reasoning_content", "reasoning", "refusal")):
            if isinstance(said, str):
                letters += len(said)
        for call in delta.get("tool_calls") or ():
            letters += len((call.get("function") or {}).get("arguments") or "")
    return letters


def with_text(chunk: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The same chunk with another text in its first choice."""
    choices = [
        {**choice, "delta": {**(choice.get("delta") or {}), "content": text}}
        if choice.get("index", 0) == 0
        else choice
        for choice in chunk.get("choices") or ()
    ]
    return {**chunk, "choices": choices}


CONTINUE = (
    "Your answer was cut off. Go on exactly where it stops, with the next character, "
    "without repeating anything and without any remark."
)
"""What a model is told that cannot be made to go on by a prefill."""


def prefilled(request: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The request with the text so far as the beginning of the assistant's turn."""
    turn = {"role": "assistant", "content": text}
    return {**request, "messages": [*request["messages"], turn]}


def instructed(request: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The request with the text so far, and the instruction to go on from there."""
    asked = {"role": "user", "content": CONTINUE}
    return {**prefilled(request, text), "messages": [*prefilled(request, text)["messages"], asked]}


def is_request(request: object) -> bool:
    """Whether this looks like a chat request."""
    return isinstance(request, Mapping) and isinstance(request.get("messages"), list)
