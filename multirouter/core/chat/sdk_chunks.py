"""Converts stream chunks of other formats to chat chunks.

A user's own generator may yield the chunks of an SDK, or the decoded events of the HTTP response.
Both have the same field names; plain data and objects are read alike.

Source: the types of the SDKs openai 3.52, anthropic 2.11 and google-genai 3.4.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from multirouter.core.chat import completions as chat

FieldGetter = Callable[[str], Any]

ChatChunk = Mapping[str, Any]
"""A chat chunk with the fields that the functions of `completions` read."""


class ChunkFormat(NamedTuple):
    """Functions that read the chunks of one format.

    Attributes:
        as_chat: converts a chunk to a chat chunk.
        replace_text: returns a copy of a chunk with another text, for the middle of an answer.
        as_continuation: returns a chunk for the middle of an answer that another stream began.
    """

    as_chat: Callable[[Any], ChatChunk]
    replace_text: Callable[[Any, str], Any]
    as_continuation: Callable[[Any], Any] = lambda chunk: chunk


def stored_fields(thing: object) -> FieldGetter:
    """A function that returns a field of plain data or of an object; None for a missing one.

    Only the stored attributes of an object are read: looking up a missing attribute of an SDK
    model is slow.
    """
    if isinstance(thing, Mapping):
        return thing.get
    stored = getattr(thing, "__dict__", {})
    extra = getattr(thing, "__pydantic_extra__", None)
    fields: Mapping[str, Any] = {**stored, **extra} if isinstance(extra, dict) else stored
    return fields.get


def chunk_format_of(chunk: object) -> ChunkFormat | None:
    """The format of a stream, recognised by its first chunk; None for an unknown format.

    Args:
        chunk: the first chunk of the stream.
    """
    field = stored_fields(chunk)
    kind = field("type")
    if isinstance(field("choices"), list):
        return COMPLETIONS
    if kind == "message_start":
        return MESSAGES
    if kind == "response.created":
        return RESPONSES
    return GEMINI if isinstance(field("candidates"), list) or _blocked(field) else None


def _chat_chunk(end: object = None, *, index: int = 0, **delta: Any) -> ChatChunk:
    return {"choices": [_choice(index, delta, end)]}


def _choice(index: int, delta: ChatChunk, end: object) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": end}


def _tool_call(arguments: object = "") -> dict[str, Any]:
    """A delta with a part of a tool call, which also represents any other non-text content."""
    return {"tool_calls": [{"function": {"arguments": arguments}}]}


def _set_field(thing: Any, name: str, value: object) -> None:
    if isinstance(thing, dict):
        thing[name] = value
    else:
        setattr(thing, name, value)


# -- Chat Completions, as objects ---------------------------------------------------------------


_FIELDS = ("role", *chat.CONTENT_FIELDS)


def _completion(chunk: Any) -> ChatChunk:
    return {"choices": [_completion_choice(choice) for choice in stored_fields(chunk)("choices")]}


def _completion_choice(value: Any) -> dict[str, Any]:
    if value is None:
        raise TypeError("a choice must be an object, got None")
    choice = stored_fields(value)
    field = stored_fields(choice("delta"))
    delta = {name: value for name in _FIELDS if (value := field(name))}
    if "tool_calls" in delta:
        delta["tool_calls"] = [_tool_call_arguments(call) for call in delta["tool_calls"]]
    return _choice(choice("index") or 0, delta, choice("finish_reason"))


def _tool_call_arguments(call: Any) -> dict[str, Any]:
    return {"function": {"arguments": stored_fields(stored_fields(call)("function"))("arguments")}}


def _replace_text_completion(chunk: Any, text: str) -> Any:
    edited = copy.deepcopy(chunk)
    for choice in stored_fields(edited)("choices"):
        if not stored_fields(choice)("index"):
            _set_field(stored_fields(choice)("delta"), "content", text)
            _set_field(stored_fields(choice)("delta"), "role", None)
            _set_field(choice, "logprobs", None)
    return edited


def _completion_without_role(chunk: Any) -> Any:
    """The chunk, or a copy of it without the role that it has."""
    if not any(delta("role") for delta in map(stored_fields, _deltas(chunk))):
        return chunk
    edited = copy.deepcopy(chunk)
    for delta in _deltas(edited):
        if stored_fields(delta)("role"):
            _set_field(delta, "role", None)
    return edited


def _deltas(chunk: Any) -> list[Any]:
    return [stored_fields(choice)("delta") for choice in stored_fields(chunk)("choices")]


# -- Anthropic Messages -------------------------------------------------------------------------

_TEXT_BLOCKS = frozenset({"text", "thinking", "redacted_thinking"})
"""Content blocks of text or reasoning; all others are tool calls and their results."""


def _message_event(event: Any) -> ChatChunk:
    field = stored_fields(event)
    kind = field("type")
    if kind == "content_block_delta":
        return _block_delta(stored_fields(field("delta")))
    if kind == "content_block_start":
        block = stored_fields(field("content_block"))
        return (
            _chat_chunk(content=block("text"))
            if block("type") in _TEXT_BLOCKS
            else _chat_chunk(**_tool_call())
        )
    return _chat_chunk(
        stored_fields(field("delta"))("stop_reason") if kind == "message_delta" else None
    )


def _block_delta(delta: FieldGetter) -> ChatChunk:
    kind = delta("type")
    if kind == "text_delta":
        return _chat_chunk(content=delta("text"))
    if kind == "thinking_delta":
        return _chat_chunk(reasoning_content=delta("thinking"))
    return (
        _chat_chunk(**_tool_call(delta("partial_json")))
        if kind == "input_json_delta"
        else _chat_chunk()
    )


def _replace_text_message_event(event: Any, text: str) -> Any:
    edited = copy.deepcopy(event)
    field = stored_fields(edited)
    _set_field(field("delta") or field("content_block"), "text", text)
    return edited


# -- OpenAI Responses ---------------------------------------------------------------------------

_DELTA_FIELDS = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning_content",
    "response.reasoning_summary_text.delta": "reasoning_content",
}
_END_EVENTS = frozenset({"response.completed", "response.incomplete"})


def _response_event(event: Any) -> ChatChunk:
    kind, delta = stored_fields(event)("type"), stored_fields(event)("delta")
    if kind in _DELTA_FIELDS:
        return _chat_chunk(**{_DELTA_FIELDS[kind]: delta})
    if kind in _END_EVENTS:
        return _chat_chunk(kind)
    return _chat_chunk(**_tool_call(delta)) if kind.endswith(".delta") else _chat_chunk()


def _replace_text_response_event(event: Any, text: str) -> Any:
    edited = copy.deepcopy(event)
    _set_field(edited, "delta", text)
    return edited


# -- Gemini -------------------------------------------------------------------------------------


def _blocked(field: FieldGetter) -> bool:
    feedback = stored_fields(field("promptFeedback") or field("prompt_feedback"))
    return isinstance(feedback("blockReason") or feedback("block_reason"), str)


def _gemini(chunk: Any) -> ChatChunk:
    field = stored_fields(chunk)
    if not field("candidates"):
        return _chat_chunk("blocked") if _blocked(field) else _chat_chunk()
    return {"choices": [_candidate(stored_fields(c)) for c in field("candidates")]}


def _candidate(field: FieldGetter) -> dict[str, Any]:
    delta: dict[str, Any] = {"content": "", "reasoning_content": ""}
    for part in map(stored_fields, stored_fields(field("content"))("parts") or ()):
        text = part("text")
        if text is None:
            delta.update(_tool_call())
        else:
            delta["reasoning_content" if part("thought") else "content"] += text
    end = field("finishReason") or field("finish_reason")
    return _choice(field("index") or 0, delta, end)


def _replace_text_gemini(chunk: Any, text: str) -> Any:
    edited = copy.deepcopy(chunk)
    for candidate in stored_fields(edited)("candidates"):
        for part in stored_fields(stored_fields(candidate)("content"))("parts") or ():
            if stored_fields(part)("text") and not stored_fields(part)("thought"):
                _set_field(part, "text", text)
                text = ""
    return edited


COMPLETIONS = ChunkFormat(_completion, _replace_text_completion, _completion_without_role)
MESSAGES = ChunkFormat(_message_event, _replace_text_message_event)
RESPONSES = ChunkFormat(_response_event, _replace_text_response_event)
GEMINI = ChunkFormat(_gemini, _replace_text_gemini)
