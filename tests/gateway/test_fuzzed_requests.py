"""Fuzzed requests of Anthropic, Gemini and OpenAI's Responses: read, or rejected with a 4xx."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multirouter.gateway.formats.anthropic.requests import from_messages
from multirouter.gateway.formats.gemini.requests import from_generate_content, includes_thoughts
from multirouter.gateway.formats.responses.requests import from_responses
from multirouter.gateway.http.http_error import HTTPError
from multirouter.providers.openai.responses.reasoning_state import encode_state

MESSAGES: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "one"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}],
        },
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    "stop_sequences": ["END"],
    "metadata": {"user_id": "u"},
}
GENERATE: dict[str, Any] = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "hi"},
                {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
                {"fileData": {"mimeType": "image/png", "fileUri": "https://x/y.png"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True},
                {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}},
            ],
        },
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "c", "name": "f", "response": {"output": "1"}}}],
        },
    ],
    "tools": [
        {
            "functionDeclarations": [
                {
                    "name": "f",
                    "parameters": {
                        "type": "OBJECT",
                        "properties": {"a": {"type": "ARRAY", "items": {"type": "STRING"}}},
                    },
                }
            ]
        }
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "safetySettings": [{"category": "X", "threshold": "BLOCK_NONE"}],
    "generationConfig": {
        "stopSequences": ["END"],
        "responseMimeType": "application/json",
        "responseSchema": {"type": "STRING", "nullable": True, "enum": ["a"]},
        "thinkingConfig": {"thinkingBudget": 100, "includeThoughts": True},
    },
}
RESPONSES: dict[str, Any] = {
    "model": "m",
    "instructions": "Be brief.",
    "input": [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "hi"},
                {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,AA=="},
            ],
        },
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": encode_state({"thinking_blocks": [{"type": "thinking"}]}),
        },
        {"type": "function_call", "call_id": "c", "name": "f", "namespace": "n", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "d", "name": "p", "input": "x"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text"}]},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "1"},
    ],
    "tools": [
        {"type": "function", "name": "f", "parameters": {"type": "object"}},
        {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark"}},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]},
    ],
    "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "f"}]},
    "reasoning": {"effort": "high"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
    "max_output_tokens": 9,
    "top_logprobs": 1,
}
Path = tuple[str | int, ...]

scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=9)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def paths(value: Any, here: Path = ()) -> Iterator[Path]:
    """The path of every value in a body."""
    yield here
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*here, key))


def put(body: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy of a body with another value at one path."""
    changed: Any = copy.deepcopy(body)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return dict(changed)


def read_generate(body: dict[str, Any]) -> dict[str, Any]:
    request = from_generate_content(body, "m").request
    includes_thoughts(body)
    return request


def read_messages(body: dict[str, Any]) -> dict[str, Any]:
    return from_messages(body).request


def read_responses(body: dict[str, Any]) -> dict[str, Any]:
    return from_responses(body).request


READERS: list[tuple[dict[str, Any], Callable[[dict[str, Any]], dict[str, Any]]]] = [
    (MESSAGES, read_messages),
    (GENERATE, read_generate),
    (RESPONSES, read_responses),
]


@pytest.mark.parametrize(("body", "read"), READERS, ids=["anthropic", "gemini", "responses"])
def test_wrong_types_at_every_path(
    body: dict[str, Any], read: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Any type at any path is read or is a 4xx."""
    values: list[Any] = [None, True, 7, -1.5, "", "x", [], [7], {}, {"x": 1}, [[]], [{}]]
    for path in list(paths(body))[1:]:
        for value in values:
            check(read, put(body, path, value))


@pytest.mark.parametrize(("body", "read"), READERS, ids=["anthropic", "gemini", "responses"])
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_random_values_at_random_paths(
    body: dict[str, Any], read: Callable[[dict[str, Any]], dict[str, Any]], data: Any
) -> None:
    """Property: a random value at a random path is read or is a 4xx."""
    path = data.draw(st.sampled_from(list(paths(body))[1:]))
    check(read, put(body, path, data.draw(anything)))


def check(read: Callable[[dict[str, Any]], dict[str, Any]], body: dict[str, Any]) -> None:
    """Reads a body: the result has messages with roles, or the error is a 4xx."""
    try:
        request = read(body)
    except HTTPError as error:
        valid = 400 <= error.status < 500
    else:
        valid = bool(request["messages"]) and all(
            message["role"] for message in request["messages"]
        )
        json.dumps(request)
    assert valid, json.dumps(body)
