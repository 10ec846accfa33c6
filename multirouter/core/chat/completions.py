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


THINKING_FIELDS = frozenset({"reasoning_content", "reasoning", "thinking_blocks"})
"""Those of them that bring the model's thinking."""

_BEYOND_TEXT = tuple(
    field for field in CONTENT_FIELDS if field != "content" and field not in THINKING_FIELDS
)


BROKEN_OFF = frozenset({"error", "abort", "insufficient_system_resource", "network_error"})
"""Finish reasons by which a service says that it failed to finish.

Source: the API references of OpenRouter and Mistral (error), DeepSeek
(insufficient_system_resource) and GLM (network_error); vLLM's and SGLang's sources (abort, error).
"""


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


def only_thinks(chunk: Mapping[str, Any]) -> bool:
    """Whether all that a chunk brings is thinking, which is no part of the answer itself."""
    deltas = [choice.get("delta") or {} for choice in chunk.get("choices") or ()]
    said = {field for delta in deltas for field in CONTENT_FIELDS if delta.get(field)}
    return bool(said) and said.issubset(THINKING_FIELDS)


def goes_beyond_text(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk brings what the text of one answer cannot stand for.

    That is a piece of a tool call, a refusal, audio, or text of another choice than the first.
    """
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        if any(delta.get(field) for field in _BEYOND_TEXT):
            return True
        if choice.get("index", 0) != 0 and delta.get("content"):
            return True
    return False


def is_finished(chunk: Mapping[str, Any]) -> bool:
    """Whether a choice ends in this chunk."""
    return any(choice.get("finish_reason") for choice in chunk.get("choices") or ())


def broken_off(chunk: Mapping[str, Any]) -> str:
    """The finish reason by which a service says that it failed to finish; "" when none does."""
    for choice in chunk.get("choices") or ():
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason in BROKEN_OFF:
            return reason
    return ""


class Finished:
    """Whether an answer of several choices is whole, asked of its chunks one after the other.

    Args:
        choices: how many choices were asked for (`n`), at least 1.
    """

    __slots__ = ("_choices", "_finished")

    def __init__(self, choices: int) -> None:
        self._choices = choices
        self._finished: set[Any] = set()

    def __call__(self, chunk: Mapping[str, Any]) -> bool:
        """Whether with this chunk every choice has ended."""
        for choice in chunk.get("choices") or ():
            if choice.get("finish_reason"):
                self._finished.add(choice.get("index", 0))
        return len(self._finished) >= self._choices


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
        letters += len((delta.get("function_call") or {}).get("arguments") or "")
    return letters


def with_text(chunk: Mapping[str, Any], text: str) -> dict[str, Any]:
    """What is left of a chunk in the middle of an answer, when `text` is what is left of its text.

    The role has come before, and log probabilities are those of the whole text: both are left out.
    """
    return {**chunk, "choices": [_cut(choice, text) for choice in chunk.get("choices") or ()]}


def without_role(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    """A chunk in the middle of an answer, whose role has come before."""
    choices = chunk.get("choices") or ()
    if not any("role" in (choice.get("delta") or ()) for choice in choices):
        return chunk
    return {**chunk, "choices": [_roleless(choice) for choice in choices]}


def _roleless(choice: Mapping[str, Any]) -> dict[str, Any]:
    delta = choice.get("delta") or {}
    return {**choice, "delta": {name: said for name, said in delta.items() if name != "role"}}


def _cut(choice: Mapping[str, Any], text: str) -> Mapping[str, Any]:
    if choice.get("index", 0) != 0:
        return choice
    delta = {**(choice.get("delta") or {}), "content": text}
    delta.pop("role", None)
    cut = {**choice, "delta": delta}
    cut.pop("logprobs", None)
    return cut


CONTINUE = (
    "Your answer was cut off. Go on exactly where it stops, with the next character, "
    "without repeating anything and without any remark."
)
"""What a model is told that cannot be made to go on by a prefill."""


def prefilled(request: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The request with the text so far as the beginning of the assistant's turn.

    When the request itself has begun that turn, the text goes on with it.
    """
    *before, last = request["messages"] or [{}]
    if last.get("role") == "assistant" and isinstance(last.get("content"), str):
        return {**request, "messages": [*before, {**last, "content": last["content"] + text}]}
    turn = {"role": "assistant", "content": text}
    return {**request, "messages": [*request["messages"], turn]}


def instructed(request: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The request with the text so far, and the instruction to go on from there."""
    said = prefilled(request, text)
    return {**said, "messages": [*said["messages"], {"role": "user", "content": CONTINUE}]}


def is_request(request: object) -> bool:
    """Whether this looks like a chat request."""
    return isinstance(request, Mapping) and isinstance(request.get("messages"), list | tuple)


def choices_of(request: object) -> int:
    """How many answers a request asks for (`n`); 1 when it does not say."""
    asked = request.get("n") if isinstance(request, Mapping) else None
    return asked if isinstance(asked, int) and asked > 1 else 1
