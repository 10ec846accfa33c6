"""Answers of the fake model, independent of the format: echo, tool calls, JSON, thinking."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Finish = Literal["stop", "length", "calls", "refusal"]

THOUGHT = "Let me think. "
SIGNATURE = "c2lnbmF0dXJl"
"""Anthropic's: base64, which other services do not take."""

GEMINI_SIGNATURE = "Z2VtaW5pIHNpZ25lZA=="
"""Gemini's, likewise."""

_PIECES = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `schema` is the JSON Schema of its arguments."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call of an answer."""

    id: str
    name: str
    arguments: dict[str, Any]

    @property
    def pieces(self) -> list[str]:
        """The arguments as JSON in pieces of 4 characters, as real models stream them."""
        text = json.dumps(self.arguments, ensure_ascii=False)
        return [text[start : start + 4] for start in range(0, len(text), 4)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """A request, independent of its wire format.

    Attributes:
        model: the requested model.
        prompt: the text of the last message.
        has_tool_result: whether that message is a tool's result.
        tools: the tools that may be called.
        forced_tool: a tool's name, `*` for any, or "" for none.
        tools_allowed: whether tools may be called at all.
        schema: JSON Schema of the answer, `{}` for any JSON object, None for plain text.
        thinking_enabled: whether thinking is requested.
        choices: number of answers.
        max_tokens: maximum number of pieces of text, or None.
        stop_sequences: strings at which the text ends.
        logprobs: number of alternatives per token; None for no log probabilities.
        stream: whether the answer is streamed.
        include_usage: whether a stream sends its usage in a chunk of its own.
        body: the whole request; `conversations` reads tool results and media from it.
    """

    model: str
    prompt: str
    has_tool_result: bool = False
    tools: Sequence[Tool] = ()
    forced_tool: str = ""
    tools_allowed: bool = True
    schema: Mapping[str, Any] | None = None
    thinking_enabled: bool = False
    choices: int = 1
    max_tokens: int | None = None
    stop_sequences: Sequence[str] = ()
    logprobs: int | None = None
    stream: bool = False
    include_usage: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the fake model, independent of the wire format.

    Attributes:
        thoughts: pieces of thinking, sent before anything else.
        pieces: the text in pieces.
        calls: tool calls, sent after the text.
        finish: the finish reason.
        prompt_tokens: tokens of the prompt, `CACHED` of them from the cache.
    """

    thoughts: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    finish: Finish = "stop"
    prompt_tokens: int = 2

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)

    @property
    def output_tokens(self) -> int:
        """Tokens of text and tool calls, without thinking."""
        return len(self.pieces) + sum(len(call.pieces) for call in self.calls)


CACHED = 1
"""Tokens of each prompt that are reported as cached."""


Answers = Callable[[ParsedRequest], Answer]
"""A fake model: returns its answer to a request."""


def answer_to(parsed: ParsedRequest, *, refuse: bool = False) -> Answer:
    """Returns the fake model's answer: the echoed prompt, or calls of the tools that it names.

    Args:
        parsed: the request.
        refuse: return a refusal instead.
    """
    tokens = len(_PIECES.findall(parsed.prompt)) + CACHED
    thoughts = _PIECES.findall(THOUGHT) if parsed.thinking_enabled else []
    if refuse:
        return Answer(thoughts, ["I cannot help with that."], [], "refusal", tokens)
    calls = _calls(parsed)
    if calls:
        return Answer(thoughts, [], calls, "calls", tokens)
    text = f"You said: {parsed.prompt}"
    if parsed.schema is not None:
        text = json.dumps(sample(parsed.schema or {"type": "object"}), ensure_ascii=False)
    for stop in parsed.stop_sequences:
        text = text.partition(stop)[0]
    pieces = _PIECES.findall(text)
    if parsed.max_tokens is not None and len(pieces) > parsed.max_tokens:
        return Answer(thoughts, pieces[: parsed.max_tokens], [], "length", tokens)
    return Answer(thoughts, pieces, [], "stop", tokens)


def sample(schema: Mapping[str, Any]) -> Any:
    """Returns a value that is valid under a simple JSON Schema."""
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object" or "properties" in schema:
        return {name: sample(inner) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [sample(schema.get("items", {}))]
    return {"integer": 7, "number": 1.5, "boolean": True, "null": None}.get(str(kind), "Zürich")


def _calls(parsed: ParsedRequest) -> list[ToolCall]:
    if not parsed.tools or not parsed.tools_allowed or parsed.has_tool_result:
        return []
    chosen = [tool for tool in parsed.tools if parsed.forced_tool in {"*", tool.name}][:1]
    if not parsed.forced_tool:
        chosen = [tool for tool in parsed.tools if tool.name in parsed.prompt]
    return [
        ToolCall(
            f"call_{call_index}_{tool.name}", tool.name, sample({"type": "object", **tool.schema})
        )
        for call_index, tool in enumerate(chosen)
    ]
