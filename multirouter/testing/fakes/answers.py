"""What the fake model says, whatever the format: echoes, tool calls, JSON to a schema, thoughts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Finish = Literal["stop", "length", "calls", "refusal"]

THOUGHT = "Let me think. "
SIGNATURE = "c2lnbmF0dXJl"
"""Base64, as both Anthropic's and Gemini's signatures are."""

_PIECES = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `schema` is that of its arguments."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A call the model makes."""

    id: str
    name: str
    arguments: dict[str, Any]

    @property
    def pieces(self) -> list[str]:
        """The arguments as JSON, a few characters at a time, as real models stream them."""
        text = json.dumps(self.arguments, ensure_ascii=False)
        return [text[start : start + 4] for start in range(0, len(text), 4)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, read out of its format.

    Attributes:
        model: as asked for.
        prompt: the text of the last message.
        answered: whether that message is a tool's result.
        tools: what may be called.
        must_call: a tool's name, `*` for any, or "" for none.
        may_call: whether tools may be called at all.
        schema: what the answer must fit, `{}` for any JSON object, None for plain text.
        thinks: whether thoughts are asked for.
        choices: how many answers.
        limit: the most pieces of text, or None.
        stops: where the text ends.
        logprobs: how many alternatives a token; None for no log probabilities.
        stream: whether in pieces.
        usage: whether a stream tells its usage in a chunk of its own.
    """

    model: str
    prompt: str
    answered: bool = False
    tools: Sequence[Tool] = ()
    must_call: str = ""
    may_call: bool = True
    schema: Mapping[str, Any] | None = None
    thinks: bool = False
    choices: int = 1
    limit: int | None = None
    stops: Sequence[str] = ()
    logprobs: int | None = None
    stream: bool = False
    usage: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says.

    Attributes:
        thoughts: pieces of thinking, before anything else.
        pieces: the text, piece by piece.
        calls: tool calls, after the text.
        finish: how it ends.
        prompt_tokens: tokens of the prompt; the last of them came from the cache.
    """

    thoughts: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    finish: Finish = "stop"
    prompt_tokens: int = 2

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)

    @property
    def output_tokens(self) -> int:
        """Tokens of text and calls; thoughts are counted apart."""
        return len(self.pieces) + sum(len(call.pieces) for call in self.calls)


CACHED = 1
"""Tokens of each prompt that came from the cache."""


def answer_to(asked: Asked, *, refuses: bool = False) -> Answer:
    """What the model says: it echoes the prompt, and calls the tools that the prompt names.

    Args:
        asked: the request.
        refuses: whether it refuses instead.
    """
    tokens = len(_PIECES.findall(asked.prompt)) + CACHED
    thoughts = _PIECES.findall(THOUGHT) if asked.thinks else []
    if refuses:
        return Answer(thoughts, ["I cannot help with that."], [], "refusal", tokens)
    calls = _calls(asked)
    if calls:
        return Answer(thoughts, [], calls, "calls", tokens)
    text = f"You said: {asked.prompt}"
    if asked.schema is not None:
        text = json.dumps(sample(asked.schema or {"type": "object"}), ensure_ascii=False)
    for stop in asked.stops:
        text = text.partition(stop)[0]
    pieces = _PIECES.findall(text)
    if asked.limit is not None and len(pieces) > asked.limit:
        return Answer(thoughts, pieces[: asked.limit], [], "length", tokens)
    return Answer(thoughts, pieces, [], "stop", tokens)


def sample(schema: Mapping[str, Any]) -> Any:
    """A value that fits a simple JSON Schema."""
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


def _calls(asked: Asked) -> list[Call]:
    if not asked.tools or not asked.may_call or asked.answered:
        return []
    wanted = [tool for tool in asked.tools if asked.must_call in {"*", tool.name}][:1]
    if not asked.must_call:
        wanted = [tool for tool in asked.tools if tool.name in asked.prompt]
    return [
        Call(f"call_{place}_{tool.name}", tool.name, sample({"type": "object", **tool.schema}))
        for place, tool in enumerate(wanted)
    ]
