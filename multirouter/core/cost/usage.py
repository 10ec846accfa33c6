"""How many tokens an attempt took: read from what the provider says, else estimated from text.

The readers know the shapes of OpenAI (Chat Completions, Responses, Embeddings), Anthropic and
Gemini, as plain data or as objects of their SDKs, whole or as chunks of a stream.

Source: the types of the SDKs openai 3.52, anthropic 2.11 and google-genai 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from multirouter.model import Usage

MOST_TOKENS = 10**12
"""What exceeds this is no count of tokens; so much in one answer would take a model millennia."""

CHARACTERS_A_TOKEN = 4
"""Characters of English text to a token.

Source: OpenAI help centre, "What are tokens and how to count them?".
"""


ReadUsage = Callable[[Any], Usage | None]
"""Reads a response, or one chunk of a stream; None when it says nothing of usage."""


def checked(told: Iterable[Any]) -> Usage:
    """The usage that a hook of the user's tells of, when it is one: whole numbers, each in range.

    Raises:
        Exception: it is none.
    """
    *counts, estimated = Usage(*told)
    whole = [int(count) for count in counts]
    if not all(0 <= count <= MOST_TOKENS for count in whole):
        raise ValueError(f"usage must be counts from 0 to {MOST_TOKENS:.0e}, not {counts}")
    return Usage._make((*whole, bool(estimated)))


def usage_of(answer: Any) -> Usage | None:
    """The usage that a response or a chunk tells of, None when it tells nothing.

    Args:
        answer: plain data or an SDK's object; anything else tells nothing.
    """
    try:
        field = answer.get if type(answer) is dict else fields_of(answer)
        counts = field("usage")
        if counts is not None:
            return _told(counts.get if type(counts) is dict else fields_of(counts))
        counts = field("usageMetadata") or field("usage_metadata")
        if counts is not None:
            return _gemini(fields_of(counts))
        # Anthropic's streams begin with a message, those of OpenAI's Responses end with a response.
        inner = field("message") or field("response")
        if inner is None or isinstance(inner, str):
            return None
        counts = fields_of(inner)("usage")
        return None if counts is None else _told(fields_of(counts))
    except Exception:  # noqa: BLE001 - a stranger's attributes may raise, which must cost no answer
        return None


def estimated_tokens(text: Any) -> int:
    """A guess at the tokens of a string, a request or a response: a quarter of its letters.

    Of plain data all strings count but those that hold or name media; of an object nothing does,
    nor of data that cannot be walked through, as what contains itself.
    """
    try:
        return math.ceil(_letters(text) / CHARACTERS_A_TOKEN)
    except Exception:  # noqa: BLE001 - as in `usage_of`; RecursionError among them
        return 0


Fields = Callable[[str], Any]


def fields_of(thing: Any) -> Fields:
    """Reads fields of plain data and of objects alike; None for what is not there."""
    if isinstance(thing, Mapping):
        return thing.get
    return lambda name: getattr(thing, name, None)


def _told(count: Fields) -> Usage | None:
    """What `usage` says; OpenAI's input includes what was cached, Anthropic's does not."""
    prompt = count("prompt_tokens")
    if prompt is not None:
        details, more = count("prompt_tokens_details"), count("completion_tokens_details")
        return Usage(
            _number(prompt),
            _number(count("completion_tokens")),
            _part(details, "cached_tokens"),
            _part(details, "cache_write_tokens"),
            _part(more, "reasoning_tokens"),
        )
    taken, given = count("input_tokens"), count("output_tokens")
    if taken is None and given is None:
        return None
    details, more = count("input_tokens_details"), count("output_tokens_details")
    read, written = count("cache_read_input_tokens"), count("cache_creation_input_tokens")
    thought = _part(more, "reasoning_tokens") or _part(more, "thinking_tokens")
    if read is None and written is None:
        return Usage(_number(taken), _number(given), _part(details, "cached_tokens"), 0, thought)
    cached, stored = _number(read), _number(written)
    return Usage(_number(taken) + cached + stored, _number(given), cached, stored, thought)


def _part(details: Any, name: str) -> int:
    """A count among the details of another; 0 where there are none, or where it is 0."""
    if not details:
        return 0
    value = details.get(name) if type(details) is dict else fields_of(details)(name)
    return _number(value) if value else 0  # most are 0, and this is read three times an answer


def _gemini(count: Fields) -> Usage | None:
    """What `usageMetadata` says; its candidates do not include the thoughts."""
    prompt = _either(count, "promptTokenCount", "prompt_token_count")
    said = _either(count, "candidatesTokenCount", "candidates_token_count")
    thought = _either(count, "thoughtsTokenCount", "thoughts_token_count")
    if not prompt and not said and not thought:
        return None
    tools = _either(count, "toolUsePromptTokenCount", "tool_use_prompt_token_count")
    cached = _either(count, "cachedContentTokenCount", "cached_content_token_count")
    return Usage(prompt + tools, said + thought, cached, 0, thought)


def _either(count: Fields, dispatcher: str, sdk: str) -> int:
    """A count by its name on the wire, or by that of the SDK."""
    found = count(dispatcher)
    return _number(count(sdk) if found is None else found)


def _number(value: Any) -> int:
    """A count of tokens; 0 for what is none, since usage is told by strangers."""
    if type(value) is int:
        return value if 0 < value <= MOST_TOKENS else 0
    return int(value) if isinstance(value, float) and 0.0 < value <= MOST_TOKENS else 0


_MEDIA = frozenset({"image_url", "input_audio", "file", "source", "inlineData", "inline_data"})


def _letters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_letters(inner) for key, inner in value.items() if key not in _MEDIA)
    if isinstance(value, list | tuple):
        return sum(map(_letters, value))
    return 0
