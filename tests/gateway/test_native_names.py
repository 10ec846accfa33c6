"""Names of tools that a service rejects, in requests of its own format: replaced, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multirouter.providers.calls.names import GEMINI, OPENAI, ToolNames
from tests.gateway.upstream import Sent, gateway_before, sse

pytestmark = [pytest.mark.backends("asyncio")]

DOTTED = "fs.read"
SENT = ToolNames(OPENAI, ()).sent(DOTTED)
SLASHED = "fs/read"
GEMINI_SENT = ToolNames(GEMINI, ()).sent(SLASHED)
ODD_ID = "functions.read:0"


def names_in(value: Any, name: str) -> int:
    """How often a value has a name as a whole string."""
    if isinstance(value, dict):
        return sum(names_in(inner, name) for inner in value.values())
    if isinstance(value, list):
        return sum(names_in(inner, name) for inner in value)
    return int(value == name)


MESSAGES: dict[str, Any] = {
    "model": "claude-x",
    "max_tokens": 100,
    "tools": [
        {"name": DOTTED, "input_schema": {"type": "object"}},
        {"type": "teleport_20990101", "name": "teleport"},
    ],
    "tool_choice": {"type": "tool", "name": DOTTED},
    "messages": [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": ODD_ID, "name": DOTTED, "input": {"a": DOTTED}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": ODD_ID, "content": DOTTED}],
        },
    ],
}
CALL = {"type": "tool_use", "id": "t1", "name": SENT, "input": {"said": f'"{SENT}"'}}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "daydream"}, CALL],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 5},
}


async def ask(kind: str, path: str, body: Any, reply: Any) -> tuple[Any, Any]:
    """What the service got, and the answer."""
    async with gateway_before((kind, lambda _: reply)) as (harness, (upstream,)):
        answer = await harness.post(path, json.dumps(body).encode())
    assert answer.status == 200
    return upstream.sent[0].body, answer


async def test_messages() -> None:
    """Tools, the choice and calls are renamed, ids too; the rest of the body stays as it is."""
    sent, answer = await ask("anthropic", "/v1/messages", MESSAGES, MESSAGE)
    assert [tool["name"] for tool in sent["tools"]] == [SENT, "teleport"]
    assert sent["tool_choice"] == {"type": "tool", "name": SENT}
    _, called, result = sent["messages"]
    assert called["content"][0]["name"] == SENT
    assert called["content"][0]["input"] == {"a": DOTTED}
    assert called["content"][0]["id"] == result["content"][0]["tool_use_id"] != ODD_ID
    assert result["content"][0]["content"] == DOTTED
    assert answer.json["content"] == [{"type": "daydream"}, {**CALL, "name": DOTTED}]


async def test_events_of_messages() -> None:
    """The name of a call is the client's; a text that mentions the other one is not changed."""
    text = f'say "{SENT}"'
    events = sse(
        {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {**CALL, "input": {}}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": json.dumps({"a": text})},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {}},
        {"type": "message_stop"},
    )
    _, answer = await ask("anthropic", "/v1/messages", {**MESSAGES, "stream": True}, events)
    assert answer.events[1]["content_block"]["name"] == DOTTED
    assert json.loads(answer.events[2]["delta"]["partial_json"]) == {"a": text}


CAMEL = {
    "contents": [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": [{"functionCall": {"name": SLASHED, "args": {}}}]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": SLASHED, "response": {"output": SLASHED}}}],
        },
    ],
    "tools": [{"functionDeclarations": [{"name": SLASHED}]}, {"teleport": {}}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [SLASHED]}},
}
SNAKE = {
    "contents": [
        CAMEL["contents"][0],
        {"role": "model", "parts": [{"function_call": {"name": SLASHED, "args": {}}}]},
        {
            "role": "user",
            "parts": [{"function_response": {"name": SLASHED, "response": {"output": SLASHED}}}],
        },
    ],
    "tools": [{"function_declarations": [{"name": SLASHED}]}],
    "tool_config": {
        "function_calling_config": {"mode": "ANY", "allowed_function_names": [SLASHED]}
    },
}
GENERATED: dict[str, Any] = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [{"teleport": 1}, {"functionCall": {"name": GEMINI_SENT, "args": {}}}],
            },
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5},
}


@pytest.mark.parametrize("body", [CAMEL, SNAKE], ids=["camel", "snake"])
async def test_generate_content(body: Any) -> None:
    """Declarations, allowed names, calls and results are renamed, in either spelling."""
    path = "/v1beta/models/gemini-x:generateContent"
    sent, answer = await ask("gemini", path, body, GENERATED)
    assert names_in(sent, GEMINI_SENT) == names_in(body, SLASHED) - 1
    assert names_in(sent, SLASHED) == 1
    parts = answer.json["candidates"][0]["content"]["parts"]
    assert parts == [{"teleport": 1}, {"functionCall": {"name": SLASHED, "args": {}}}]


async def test_responses() -> None:
    """Tools, also those in a namespace, choices and items are renamed; unknown ones are not."""
    body = {
        "model": "gpt-x",
        "input": [
            {"type": "message", "role": "user", "name": DOTTED, "content": "hi"},
            {"type": "function_call", "call_id": "x" * 70, "name": DOTTED, "arguments": "{}"},
            {"type": "function_call_output", "call_id": "x" * 70, "output": DOTTED},
        ],
        "tools": [
            {"type": "function", "name": DOTTED, "parameters": {}},
            {
                "type": "namespace",
                "name": "n",
                "tools": [{"type": "custom", "name": "über"}],
            },
            {"type": "gizmo", "name": DOTTED},
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": DOTTED}],
        },
    }
    output = [
        {"type": "function_call", "id": "fc", "call_id": "c", "name": SENT, "arguments": "{}"},
        {"type": "gizmo_call"},
    ]
    reply = {"id": "r", "object": "response", "status": "completed", "model": "m", "output": output}
    sent, answer = await ask("openai", "/v1/responses", body, reply)
    assert names_in(sent, SENT) == 3
    assert names_in(sent, DOTTED) == 3
    assert sent["tools"][1]["tools"][0]["name"] == ToolNames(OPENAI, ()).sent("über")
    assert sent["input"][1]["call_id"] == sent["input"][2]["call_id"]
    assert len(sent["input"][1]["call_id"]) <= 64
    assert [item.get("name") for item in answer.json["output"]] == [DOTTED, None]


async def test_calls_through_responses() -> None:
    """Another client's names reach the Responses of OpenAI in the form that they take."""
    function = {"type": "function", "function": {"name": DOTTED, "parameters": {}}}
    custom = {"type": "custom", "custom": {"name": "free.text"}}

    def reply(sent: Sent) -> Any:
        if "responses" not in sent.path:
            return 400, {"error": {"message": _ONLY_RESPONSES}}
        calls = [
            {"type": "function_call", "call_id": "c", "name": SENT, "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "d", "name": sent.body["tools"][1]["name"]},
        ]
        return {"id": "r", "status": "completed", "model": "m", "output": calls}

    async with gateway_before(("openai", reply)) as (harness, (upstream,)):
        body = {
            "tools": [function, custom],
            "tool_choice": {"type": "function", "function": {"name": DOTTED}},
        }
        answer = await harness.send(**body)
    chat = upstream.sent[0].body
    assert [chat["tools"][0]["function"]["name"], chat["tool_choice"]["function"]["name"]] == [
        SENT,
        SENT,
    ]
    assert "." not in chat["tools"][1]["custom"]["name"]
    assert upstream.sent[-1].body["tool_choice"] == {"type": "function", "name": SENT}
    one, other = answer.json["choices"][0]["message"]["tool_calls"]
    assert (one["function"]["name"], other["custom"]["name"]) == (DOTTED, "free.text")


_ONLY_RESPONSES = "Function tools are not supported here. To use function tools, use /v1/responses."
