"""Token usage: read from responses and stream chunks, or estimated from text.

The reader knows the formats of OpenAI (Chat Completions, Responses, Embeddings), Anthropic and
Gemini, as plain data or as SDK objects, for whole responses and for stream chunks.

Source: the types of the SDKs openai 3.52, anthropic 2.11 and google-genai 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from multirouter.model import Usage

MAX_TOKENS = 10**12
"""A larger number is no count of tokens: so many in one answer would take a model millennia."""

CHARACTERS_PER_TOKEN = 4
"""Characters of English text per token.

Source: OpenAI help centre, "What are tokens and how to count them?".
"""


ReadUsage = Callable[[Any], Usage | None]
"""Returns the usage of a response or a stream chunk; None when it contains none."""


def validated_usage(values: Iterable[Any]) -> Usage:
    """The result of a user's `usage=` hook as a Usage of integers.

    Raises:
        Exception: it has other than six fields, or a count is no integer from 0 to `MAX_TOKENS`.
    """
    *counts, estimated = Usage(*values)
    integers = [int(count) for count in counts]
    if not all(0 <= count <= MAX_TOKENS for count in integers):
        raise ValueError(f"usage must be counts from 0 to {MAX_TOKENS:.0e}, got {counts}")
    return Usage._make((*integers, bool(estimated)))


def usage_of(answer: Any) -> Usage | None:
    """The usage that a response or a stream chunk reports; None when it reports none.

    Args:
        answer: plain data or an SDK object; anything else reports none.
    """
    try:
        field = answer.get if type(answer) is dict else field_getter(answer)
        counts = field("usage")
        if counts is not None:
            return _openai_or_anthropic(
                counts.get if type(counts) is dict else field_getter(counts)
            )
        if field("choices") is not None:
            return None  # a chunk of Chat Completions, as nearly every chunk of a stream is
        counts = field("usageMetadata") or field("usage_metadata")
        if counts is not None:
            return _gemini(field_getter(counts))
        # Anthropic's streams begin with a message, OpenAI's Responses streams end with a response.
        inner = field("message") or field("response")
        if inner is None or isinstance(inner, str):
            return None
        counts = field_getter(inner)("usage")
        return None if counts is None else _openai_or_anthropic(field_getter(counts))
    except Exception:  # noqa: BLE001 - attributes of a foreign object may raise
        return None


def estimated_tokens(text: Any) -> int:
    """Estimated tokens of a string, a request or a response: a quarter of its characters.

    In plain data every string counts except those that hold or name media. Objects count 0, and
    so does data that cannot be traversed, such as a list that contains itself.
    """
    try:
        return math.ceil(_characters(text) / CHARACTERS_PER_TOKEN)
    except Exception:  # noqa: BLE001 - as in `usage_of`; RecursionError among them
        return 0


FieldGetter = Callable[[str], Any]


def field_getter(thing: Any) -> FieldGetter:
    """A function that returns a field of plain data or of an object; None for a missing one."""
    if isinstance(thing, Mapping):
        return thing.get
    return lambda name: getattr(thing, name, None)


def _openai_or_anthropic(count: FieldGetter) -> Usage | None:
    """Usage from a `usage` field; OpenAI's input includes cached tokens, Anthropic's does not."""
    prompt = count("prompt_tokens")
    if prompt is not None:
        details, more = count("prompt_tokens_details"), count("completion_tokens_details")
        return Usage(
            _token_count(prompt),
            _token_count(count("completion_tokens")),
            _detail(details, "cached_tokens"),
            _detail(details, "cache_write_tokens"),
            _detail(more, "reasoning_tokens"),
        )
    sent, received = count("input_tokens"), count("output_tokens")
    if sent is None and received is None:
        return None
    details, more = count("input_tokens_details"), count("output_tokens_details")
    read, written = count("cache_read_input_tokens"), count("cache_creation_input_tokens")
    reasoning = _detail(more, "reasoning_tokens") or _detail(more, "thinking_tokens")
    if read is None and written is None:
        return Usage(
            _token_count(sent),
            _token_count(received),
            _detail(details, "cached_tokens"),
            0,
            reasoning,
        )
    cached, stored = _token_count(read), _token_count(written)
    total_input = _token_count(sent) + cached + stored
    return Usage(total_input, _token_count(received), cached, stored, reasoning)


def _detail(details: Any, name: str) -> int:
    """A count in a details field; 0 when the field or the count is missing."""
    if not details:
        return 0
    value = details.get(name) if type(details) is dict else field_getter(details)(name)
    return _token_count(value) if value else 0  # mostly 0, and read three times per answer


def _gemini(count: FieldGetter) -> Usage | None:
    """Usage from Gemini's `usageMetadata`; its candidates do not include the thoughts."""
    prompt = _either(count, "promptTokenCount", "prompt_token_count")
    output = _either(count, "candidatesTokenCount", "candidates_token_count")
    reasoning = _either(count, "thoughtsTokenCount", "thoughts_token_count")
    if not prompt and not output and not reasoning:
        return None
    tools = _either(count, "toolUsePromptTokenCount", "tool_use_prompt_token_count")
    cached = _either(count, "cachedContentTokenCount", "cached_content_token_count")
    return Usage(prompt + tools, output + reasoning, cached, 0, reasoning)


def _either(count: FieldGetter, wire_name: str, sdk_name: str) -> int:
    """A count by its name in the JSON, or else by its name in the SDK."""
    found = count(wire_name)
    return _token_count(count(sdk_name) if found is None else found)


def _token_count(value: Any) -> int:
    """A count of tokens; 0 for any value that is none, since responses are untrusted."""
    if type(value) is int:
        return value if 0 < value <= MAX_TOKENS else 0
    return int(value) if isinstance(value, float) and 0.0 < value <= MAX_TOKENS else 0


_MEDIA = frozenset(
    {
        "image_url",
        "input_audio",
        "file",
        "source",
        "inlineData",
        "inline_data",
        "embedding",
        "b64_json",
    }
)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_characters(inner) for key, inner in value.items() if key not in _MEDIA)
    if isinstance(value, list | tuple):
        return sum(map(_characters, value))
    return 0
