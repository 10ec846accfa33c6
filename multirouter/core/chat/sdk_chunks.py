"""Chunks of other formats seen as chat chunks: what they say, and whether the answer ends in them.

A user's own generator may pass on what an SDK gives it, or the events of the wire itself. Both have
the same names; plain data and objects are read alike.

Source: the types of the SDKs openai 3.52, anthropic 2.11 and google-genai 3.4.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from multirouter.core.chat import completions as chat

Fields = Callable[[str], Any]

View = Mapping[str, Any]
"""A chat chunk with as much in it as the readers of `chat` look at."""


class Dialect(NamedTuple):
    """How the chunks of one format are read.

    Attributes:
        as_chat: a chunk as a chat chunk.
        cut: a copy of a chunk with another text, as it would stand in the middle of an answer.
    """

    as_chat: Callable[[Any], View]
    cut: Callable[[Any, str], Any]


def fields_of(thing: object) -> Fields:
    """Reads the fields of plain data and of objects alike; None for what is not there.

    Objects are read by what they hold: a missing field is searched for long in the SDKs' models.
    """
    if isinstance(thing, Mapping):
        return thing.get
    hold_changed = getattr(thing, "__dict__", {})
    unknown = getattr(thing, "__pydantic_extra__", None)
    both: Mapping[str, Any] = (
        {**hold_changed, **unknown} if isinstance(unknown, dict) else hold_changed
    )
    return both.get


def dialect_of(chunk: object) -> Dialect | None:
    """Whose chunks these are, judged by a stream's first; None for what nobody knows.

    Args:
        chunk: whatever a generator gave first.
    """
    field = fields_of(chunk)
    kind = field("type")
    if isinstance(field("choices"), list):
        return COMPLETIONS
    if kind == "message_start":
        return MESSAGES
    if kind == "response.created":
        return RESPONSES
    return GEMINI if isinstance(field("candidates"), list) or _blocked(field) else None


def _view(end: object = None, *, index: int = 0, **delta: Any) -> View:
    return {"choices": [_choice(index, delta, end)]}


def _choice(index: int, delta: View, end: object) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": end}


def _call(arguments: object = "") -> dict[str, Any]:
    """A piece of a tool call, or of something else that no text can stand for."""
    return {"tool_calls": [{"function": {"arguments": arguments}}]}


def _put(thing: Any, name: str, value: object) -> None:
    if isinstance(thing, dict):
        thing[name] = value
    else:
        setattr(thing, name, value)


# -- Chat Completions, as objects ---------------------------------------------------------------


_FIELDS = ("role", *chat.CONTENT_FIELDS)


def _completion(chunk: Any) -> View:
    return {"choices": [_completion_choice(choice) for choice in fields_of(chunk)("choices")]}


def _completion_choice(said: Any) -> dict[str, Any]:
    if said is None:
        raise TypeError("a choice that is none")
    choice = fields_of(said)
    field = fields_of(choice("delta"))
    delta = {name: value for name in _FIELDS if (value := field(name))}
    if "tool_calls" in delta:
        delta["tool_calls"] = [_arguments_of(call) for call in delta["tool_calls"]]
    return _choice(choice("index") or 0, delta, choice("finish_reason"))


def _arguments_of(call: Any) -> dict[str, Any]:
    return {"function": {"arguments": fields_of(fields_of(call)("function"))("arguments")}}


def _cut_completion(chunk: Any, text: str) -> Any:
    cut = copy.deepcopy(chunk)
    for choice in fields_of(cut)("choices"):
        if not fields_of(choice)("index"):
            _put(fields_of(choice)("delta"), "content", text)
            _put(fields_of(choice)("delta"), "role", None)
            _put(choice, "logprobs", None)
    return cut


# -- Anthropic Messages -------------------------------------------------------------------------

_TEXTUAL = frozenset({"text", "thinking", "redacted_thinking"})
"""Blocks that bring text or thoughts; all others are calls and their results."""


def _message_event(event: Any) -> View:
    field = fields_of(event)
    kind = field("type")
    if kind == "content_block_delta":
        return _block_delta(fields_of(field("delta")))
    if kind == "content_block_start":
        block = fields_of(field("content_block"))
        return _view(content=block("text")) if block("type") in _TEXTUAL else _view(**_call())
    return _view(fields_of(field("delta"))("stop_reason") if kind == "message_delta" else None)


def _block_delta(delta: Fields) -> View:
    kind = delta("type")
    if kind == "text_delta":
        return _view(content=delta("text"))
    if kind == "thinking_delta":
        return _view(reasoning_content=delta("thinking"))
    return _view(**_call(delta("partial_json"))) if kind == "input_json_delta" else _view()


def _cut_message_event(event: Any, text: str) -> Any:
    cut = copy.deepcopy(event)
    field = fields_of(cut)
    _put(field("delta") or field("content_block"), "text", text)
    return cut


# -- OpenAI Responses ---------------------------------------------------------------------------

_SAYS = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning_content",
    "response.reasoning_summary_text.delta": "reasoning_content",
}
_ENDS = frozenset({"response.completed", "response.incomplete"})


def _response_event(event: Any) -> View:
    kind, delta = fields_of(event)("type"), fields_of(event)("delta")
    if kind in _SAYS:
        return _view(**{_SAYS[kind]: delta})
    if kind in _ENDS:
        return _view(kind)
    return _view(**_call(delta)) if kind.endswith(".delta") else _view()


def _cut_response_event(event: Any, text: str) -> Any:
    cut = copy.deepcopy(event)
    _put(cut, "delta", text)
    return cut


# -- Gemini -------------------------------------------------------------------------------------


def _blocked(field: Fields) -> bool:
    feedback = fields_of(field("promptFeedback") or field("prompt_feedback"))
    return isinstance(feedback("blockReason") or feedback("block_reason"), str)


def _gemini(chunk: Any) -> View:
    field = fields_of(chunk)
    if not field("candidates"):
        return _view("blocked") if _blocked(field) else _view()
    return {"choices": [_candidate(fields_of(c)) for c in field("candidates")]}


def _candidate(field: Fields) -> dict[str, Any]:
    delta: dict[str, Any] = {"content": "", "reasoning_content": ""}
    for part in map(fields_of, fields_of(field("content"))("parts") or ()):
        text = part("text")
        if text is None:
            delta.update(_call())
        else:
            delta["reasoning_content" if part("thought") else "content"] += text
    end = field("finishReason") or field("finish_reason")
    return _choice(field("index") or 0, delta, end)


def _cut_gemini(chunk: Any, text: str) -> Any:
    cut = copy.deepcopy(chunk)
    for candidate in fields_of(cut)("candidates"):
        for part in fields_of(fields_of(candidate)("content"))("parts") or ():
            if fields_of(part)("text") and not fields_of(part)("thought"):
                _put(part, "text", text)
                text = ""
    return cut


COMPLETIONS = Dialect(_completion, _cut_completion)
MESSAGES = Dialect(_message_event, _cut_message_event)
RESPONSES = Dialect(_response_event, _cut_response_event)
GEMINI = Dialect(_gemini, _cut_gemini)
