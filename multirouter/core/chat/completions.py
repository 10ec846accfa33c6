"""Reads and edits chat responses, chunks and requests in the format of OpenAI's Chat Completions.

All are plain dicts; every field may be absent.
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
    "other_content",
)
"""Fields of a delta that contain a part of the answer; a role alone does not."""

REASONING_FIELDS = frozenset({"reasoning_content", "reasoning", "thinking_blocks"})
"""Those of them that contain the model's reasoning."""

_NON_TEXT_FIELDS = frozenset(CONTENT_FIELDS) - REASONING_FIELDS - {"content"}


ERROR_FINISH_REASONS = frozenset(
    {"error", "abort", "insufficient_system_resource", "network_error"}
)
"""Finish reasons of services that failed to finish the answer.

Source: the API references of OpenRouter and Mistral (error), DeepSeek
(insufficient_system_resource) and GLM (network_error); vLLM's and SGLang's sources (abort, error).
"""


def is_chunk(chunk: object) -> bool:
    """Whether a value looks like a chunk of a chat stream."""
    return isinstance(chunk, Mapping) and isinstance(chunk.get("choices"), list)


def text_of(answer: Mapping[str, Any]) -> str:
    """The text of the first choice of a response or a chunk; "" when it has none."""
    for choice in answer.get("choices") or ():
        if choice.get("index", 0) == 0:
            message = choice.get("message") or choice.get("delta") or {}
            content = message.get("content")
            return content if isinstance(content, str) else ""
    return ""


def has_content(answer: Mapping[str, Any]) -> bool:
    """Whether a response or a chunk contains text, reasoning, a tool call or a refusal."""
    for choice in answer.get("choices") or ():
        part = choice.get("delta") or choice.get("message") or {}
        if any(part.get(field) for field in CONTENT_FIELDS):
            return True
    return False


def has_tool_calls(answer: Mapping[str, Any]) -> bool:
    """Whether a response contains a tool call, or a chunk a part of one."""
    for choice in answer.get("choices") or ():
        part = choice.get("delta") or choice.get("message") or {}
        if part.get("tool_calls") or part.get("function_call"):
            return True
    return False


def is_reasoning_only(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk contains reasoning only, which is no part of the answer itself."""
    deltas = [choice.get("delta") or {} for choice in chunk.get("choices") or ()]
    present = {field for delta in deltas for field in CONTENT_FIELDS if delta.get(field)}
    return bool(present) and present.issubset(REASONING_FIELDS)


def has_non_text_content(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk contains more than text of the first choice.

    That is a part of a tool call, a refusal, audio, or text of another choice.
    """
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        named = _NON_TEXT_FIELDS.intersection(delta)  # empty for nearly every chunk
        if named and any(delta[field] for field in named):
            return True
        if choice.get("index", 0) != 0 and delta.get("content"):
            return True
    return False


def is_finished(answer: Mapping[str, Any]) -> bool:
    """Whether a choice of a response, or one that began in earlier chunks, ends here."""
    for choice in answer.get("choices") or ():  # noqa: SIM110 - no generator for each chunk
        if choice.get("finish_reason"):
            return True
    return False


def error_finish_reason(chunk: Mapping[str, Any]) -> str:
    """The finish reason that says that the service failed to finish; "" when there is none."""
    for choice in chunk.get("choices") or ():
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason in ERROR_FINISH_REASONS:
            return reason
    return ""


class AllChoicesFinished:
    """Tells from the chunks of a stream, in order, when all of its choices have ended.

    Args:
        choices: number of requested choices (`n`), at least 1.
    """

    __slots__ = ("_begun", "_choices", "_finished")

    def __init__(self, choices: int) -> None:
        self._choices = choices
        self._begun: set[Any] = set()
        self._finished: set[Any] = set()

    def __call__(self, chunk: Mapping[str, Any]) -> bool:
        """Whether every choice has ended with this chunk."""
        for choice in chunk.get("choices") or ():
            self._begun.add(choice.get("index", 0))
            if choice.get("finish_reason"):
                self._finished.add(choice.get("index", 0))
        return len(self._finished) >= self._choices

    def all_begun(self) -> bool:
        """Whether every choice that began has ended: servers that ignore `n` begin fewer."""
        return bool(self._begun) and self._begun == self._finished


def usage_is_final(chunk: Mapping[str, Any]) -> bool:
    """Whether the usage in a chunk is final: the chunk ends the answer, or follows its end."""
    return not chunk.get("choices") or is_finished(chunk)


def characters_of(chunk: Mapping[str, Any]) -> int:
    """Number of characters in a chunk: text, reasoning, refusal, and arguments of tool calls."""
    characters = 0
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        for text in map(delta.get, ("content", "reasoning_content", "reasoning", "refusal")):
            if isinstance(text, str):
                characters += len(text)
        for call in delta.get("tool_calls") or ():
            characters += len((call.get("function") or {}).get("arguments") or "")
        characters += len((delta.get("function_call") or {}).get("arguments") or "")
    return characters


def with_text(chunk: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A chunk with the text of its first choice replaced by `text`, for the middle of an answer.

    The role is removed, as an earlier chunk had it, and the log probabilities, as they belong to
    the original text.
    """
    return {
        **chunk,
        "choices": [_choice_with_text(choice, text) for choice in chunk.get("choices") or ()],
    }


def without_role(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    """A chunk without its role, for the middle of an answer: an earlier chunk had the role."""
    choices = chunk.get("choices") or ()
    if not any("role" in (choice.get("delta") or ()) for choice in choices):
        return chunk
    return {**chunk, "choices": [_choice_without_role(choice) for choice in choices]}


def _choice_without_role(choice: Mapping[str, Any]) -> dict[str, Any]:
    delta = choice.get("delta") or {}
    return {**choice, "delta": {name: value for name, value in delta.items() if name != "role"}}


def _choice_with_text(choice: Mapping[str, Any], text: str) -> Mapping[str, Any]:
    if choice.get("index", 0) != 0:
        return choice
    delta = {**(choice.get("delta") or {}), "content": text}
    delta.pop("role", None)
    edited = {**choice, "delta": delta}
    edited.pop("logprobs", None)
    return edited


CONTINUE_INSTRUCTION = (
    "Your answer was cut off. Go on exactly where it stops, with the next character, "
    "without repeating anything and without any remark."
)
"""Instruction for a model that does not continue a prefill."""


def with_prefill(request: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The request with the delivered text as the beginning of the assistant's turn.

    When the request itself begins that turn, the text is appended to it.
    """
    *before, last = request["messages"] or [{}]
    if last.get("role") == "assistant" and isinstance(last.get("content"), str):
        return {**request, "messages": [*before, {**last, "content": last["content"] + text}]}
    turn = {"role": "assistant", "content": text}
    return {**request, "messages": [*request["messages"], turn]}


def with_continue_instruction(request: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The request with the delivered text, and the instruction to continue from there."""
    prefilled = with_prefill(request, text)
    return {
        **prefilled,
        "messages": [*prefilled["messages"], {"role": "user", "content": CONTINUE_INSTRUCTION}],
    }


def is_request(request: object) -> bool:
    """Whether a value looks like a chat request."""
    return isinstance(request, Mapping) and isinstance(request.get("messages"), list | tuple)


def has_output_format(request: Mapping[str, Any]) -> bool:
    """Whether a chat request asks for an answer of another form than text: JSON, for example."""
    output = request.get("response_format")
    return isinstance(output, Mapping) and output.get("type") not in {None, "text"}


def choice_count(request: object) -> int:
    """The number of choices that a request asks for (`n`); 1 when it is absent or invalid."""
    choices = request.get("n") if isinstance(request, Mapping) else None
    return choices if isinstance(choices, int) and choices > 1 else 1
