"""Requests in the Responses format as canonical requests."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.gateway.formats.responses.requests import TranslatedRequest, from_responses
from multirouter.gateway.http.http_error import HTTPError
from multirouter.providers.openai.responses.reasoning_state import encode_state


def translated(*items: Any, **fields: Any) -> TranslatedRequest:
    return from_responses({"model": "m", "input": list(items), **fields})


def messages_of(*items: Any, **fields: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = translated(*items, **fields).request["messages"]
    return messages


def call(id_: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": id_, "name": "look", "arguments": "{}", **fields}


def output(id_: str, value: Any = "ok", **fields: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id_, "output": value, **fields}


def test_a_text_and_instructions() -> None:
    """A text is one message of the user; instructions come first."""
    request = from_responses({"model": "m", "input": "hi", "instructions": "Be brief."}).request
    assert request["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]


def test_content_parts() -> None:
    """Texts, images, files and audio keep their kind; a single text becomes a string."""
    parts = [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"},
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": "data:application/pdf;base64,aGk=",
        },
        {"type": "input_image", "file_id": "file_1"},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        {"type": "input_hologram", "hologram": 1},
    ]
    result = translated({"role": "user", "content": parts}, {"role": "assistant", "content": "ok"})
    user, assistant = result.request["messages"]
    assert [part["type"] for part in user["content"]] == [
        "text",
        "image_url",
        "file",
        "file",
        "input_audio",
    ]
    assert user["content"][1]["image_url"] == {"url": "data:image/png;base64,aGk=", "detail": "low"}
    assert assistant == {"role": "assistant", "content": "ok"}
    assert result.losses == ("input.input_hologram",)


def test_unknown_roles_are_kept_as_the_users() -> None:
    """A message of a role that no other service knows is not lost."""
    result = translated({"role": "wizard", "content": "x"})
    assert result.request["messages"] == [{"role": "user", "content": "x"}]
    assert result.losses == ("input.message.wizard",)


def test_a_turn_with_calls_is_one_message() -> None:
    """Reasoning, text and calls of a turn are one message; outputs follow their calls."""
    block = {"type": "thinking", "thinking": "hm", "signature": "s"}
    state = {"thinking_blocks": [block], "calls": {"b": {"google": {"thought_signature": "t"}}}}
    reasoning = {"type": "reasoning", "summary": [], "encrypted_content": encode_state(state)}
    text = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Let me look."}],
    }
    messages = messages_of(
        {"role": "user", "content": "go"},
        reasoning,
        text,
        call("a"),
        call("b", namespace="team"),
        {"role": "developer", "content": "in between"},
        output("b"),
        output(
            "a",
            [{"type": "input_text", "text": "1"}, {"type": "input_image", "image_url": "data:x"}],
        ),
    )
    assert [message["role"] for message in messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "developer",
    ]
    turn = messages[1]
    assert turn["content"] == "Let me look."
    assert turn["thinking_blocks"] == [block]
    assert [one["function"]["name"] for one in turn["tool_calls"]] == ["look", "team__look"]
    assert turn["tool_calls"][1]["extra_content"] == {"google": {"thought_signature": "t"}}
    assert [message["tool_call_id"] for message in messages[2:4]] == ["a", "b"]
    assert messages[2]["content"][1]["type"] == "image_url"


def test_interleaved_reasoning_keeps_its_order() -> None:
    """Signed thinking behind a text begins another message, so that no block changes its place."""
    first, second = ({"type": "thinking", "thinking": t, "signature": t} for t in "ab")
    items = [
        {
            "type": "reasoning",
            "summary": [],
            "encrypted_content": encode_state({"thinking_blocks": [b]}),
        }
        for b in (first, second)
    ]
    text = {"role": "assistant", "content": "So."}
    messages = messages_of(
        {"role": "user", "content": "x"}, items[0], text, items[1], call("a"), output("a")
    )
    assert [message.get("thinking_blocks") for message in messages[1:3]] == [[first], [second]]


def test_reasoning_of_other_services() -> None:
    """A summary in the clear is kept; what another service encrypted is left out."""
    plain = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    locked = {**plain, "encrypted_content": "gAAAA"}
    broken = {**plain, "encrypted_content": "mr1.###"}
    answer = {"role": "assistant", "content": "x"}
    for item, expected in ((plain, "hm"), (locked, None), (broken, None)):
        message = messages_of({"role": "user", "content": "q"}, item, answer)[1]
        assert message.get("reasoning_content") == expected


def test_calls_of_any_tool_with_an_output() -> None:
    """Custom tools, and tools of unknown types, are calls like others, with their outputs."""
    messages = messages_of(
        {"role": "user", "content": "go"},
        {"type": "custom_tool_call", "call_id": "a", "name": "patch", "input": "text"},
        {"type": "custom_tool_call_output", "call_id": "a", "output": "done"},
        {
            "type": "gizmo_call",
            "call_id": "b",
            "id": "g_1",
            "status": "completed",
            "action": {"turn": 3},
        },
        {"type": "gizmo_call_output", "call_id": "b", "result": {"angle": 9}},
        {"type": "web_gizmo_call", "id": "w_1", "status": "completed"},
    )
    calls = [one for message in messages for one in message.get("tool_calls") or ()]
    assert [(one["function"]["name"], one["function"]["arguments"]) for one in calls] == [
        ("patch", '{"input":"text"}'),
        ("gizmo", '{"action":{"turn":3}}'),
    ]
    assert [message["content"] for message in messages if message["role"] == "tool"] == [
        "done",
        '{"result":{"angle":9}}',
    ]


def test_tools() -> None:
    """Tools of every kind that the client runs are functions; those of the service are losses."""
    result = translated(
        {"role": "user", "content": "go"},
        {
            "type": "additional_tools",
            "role": "developer",
            "tools": [{"type": "function", "name": "late"}],
        },
        {
            "type": "gizmo_search_output",
            "call_id": "s",
            "tools": [{"type": "function", "name": "found"}],
        },
        tools=[
            {
                "type": "function",
                "name": "look",
                "description": "d",
                "parameters": {"type": "object"},
                "strict": True,
            },
            {
                "type": "custom",
                "name": "patch",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: /x/"},
            },
            {"type": "namespace", "name": "team", "tools": [{"type": "function", "name": "look"}]},
            {"type": "gizmo_search", "execution": "client", "parameters": {"type": "object"}},
            {"type": "hosted_gizmo"},
            {"type": "remote_search", "execution": "server", "parameters": {}},
        ],
        tool_choice={"type": "custom", "name": "patch"},
        parallel_tool_calls=False,
    )
    functions = [tool["function"] for tool in result.request["tools"]]
    assert [one["name"] for one in functions] == [
        "look",
        "patch",
        "team__look",
        "gizmo_search",
        "late",
        "found",
    ]
    assert functions[0]["strict"]
    assert "start: /x/" in functions[1]["description"]
    assert functions[1]["parameters"]["required"] == ["input"]
    assert result.request["tool_choice"] == {"type": "function", "function": {"name": "patch"}}
    assert result.request["parallel_tool_calls"] is False
    assert set(result.losses) == {"tools.hosted_gizmo", "tools.remote_search"}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("required", "required"),
        ({"type": "hosted_gizmo"}, None),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "look"}, {"type": "mcp"}],
            },
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "look"}}],
                },
            },
        ),
    ],
)
def test_tool_choices(choice: Any, expected: Any) -> None:
    """A choice of a tool that no other service has is left to the model."""
    tools = [{"type": "function", "name": "look"}, {"type": "hosted_gizmo"}]
    request = from_responses({"input": "x", "tools": tools, "tool_choice": choice}).request
    assert request.get("tool_choice") == expected


def test_options() -> None:
    """Options have the names of the canonical format; those without effect are left out."""
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    body = {
        "model": "m",
        "input": "x",
        "max_output_tokens": 100,
        "top_logprobs": 2,
        "reasoning": {"effort": "high", "summary": "auto"},
        "text": {"verbosity": "low", "format": schema},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "metadata": {},
        "client_gizmo": {"a": 1},
        "temperature": None,
    }
    result = from_responses(body)
    assert result.request == {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "max_completion_tokens": 100,
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_effort": "high",
        "verbosity": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
        },
    }
    assert result.losses == ("client_gizmo",)
    assert result.only_native == ()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "x", "background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"input": [{"type": "gizmo_state", "angle": 3}]}, "input"),
        ({"input": [{"type": "item_reference", "id": "m_1"}]}, "input.item_reference"),
    ],
)
def test_what_only_the_service_has(fields: dict[str, Any], named: str) -> None:
    """What refers to something that a service stores or runs, only that service can serve."""
    assert from_responses(fields).only_native == (named,)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 3}, "input"),
        ({"input": [1]}, "input[0]"),
        ({"input": [{"role": 3, "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 3}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "input[0].content[0]"),
        ({"input": "x", "tools": {}}, "tools"),
        ({"input": "x", "tools": ["x"]}, "tools[0]"),
        ({"input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"input": "x", "tools": [{"type": "namespace", "name": "n"}]}, "tools[0].tools"),
        ({"input": "x", "reasoning": "high"}, "reasoning"),
        ({"input": "x", "text": {"format": "json"}}, "text.format"),
    ],
)
def test_malformed_requests_name_the_field(body: dict[str, Any], param: str) -> None:
    """What is malformed is a 400 that names the field."""
    with pytest.raises(HTTPError) as caught:
        from_responses(body)
    assert (caught.value.status, caught.value.param) == (400, param)
