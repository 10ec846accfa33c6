"""Translation of Gemini's requests to canonical ones."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.gateway.formats.gemini.requests import from_generate_content, includes_thoughts
from multirouter.gateway.http.http_error import HTTPError
from tests.gateway.gemini_contents import TOOLS, WEATHER, model, user
from tests.gateway.harness import PROMPT


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"contents": []}, "contents"),
        ({"contents": "hello"}, "contents"),
        ({"contents": [{"parts": "x"}]}, "contents[0].parts"),
        ({"contents": [{"role": "robot", "parts": [{"text": "x"}]}]}, "contents[0].role"),
        ({"contents": [user({"functionCall": {"name": "f"}})]}, "contents[0].parts[0]"),
        ({"contents": [user({})]}, "contents[0].parts[0]"),
        ({"contents": [user({"text": 1})]}, "contents[0].parts[0].text"),
        ({"contents": [model({"inlineData": {}})]}, "contents[0].parts[0]"),
        (
            {"contents": [model({"functionCall": {}})]},
            "contents[0].parts[0].functionCall.name",
        ),
        (
            {"contents": [user({"functionResponse": {"name": "f"}})]},
            "contents[0].parts[0].functionResponse",
        ),
        (
            {"contents": [user({"functionResponse": {"name": "f", "response": []}})]},
            "contents[0].parts[0].functionResponse.response",
        ),
        (
            {"contents": [user({"inlineData": {"data": "AAAA"}})]},
            "contents[0].parts[0].inlineData.mimeType",
        ),
        ({"contents": [user({"fileData": "x"})]}, "contents[0].parts[0].fileData"),
        ({"systemInstruction": user({"inlineData": {}})}, "systemInstruction"),
        ({"systemInstruction": 7}, "systemInstruction"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"tools": ["x"]}, "tools[0]"),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": []}]}]},
            "tools[0].functionDeclarations[0].parameters",
        ),
        (
            {"tools": TOOLS, "toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}},
            "toolConfig.functionCallingConfig.mode",
        ),
        (
            {
                "tools": TOOLS,
                "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["x"]}},
            },
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
        (
            {
                "tools": TOOLS,
                "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": "x"}},
            },
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
        (
            {"generationConfig": {"responseMimeType": "text/x.enum"}},
            "generationConfig.responseMimeType",
        ),
        (
            {"generationConfig": {"responseSchema": {"type": "OBJECT"}}},
            "generationConfig.responseMimeType",
        ),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingLevel": "WILD"}}},
            "generationConfig.thinkingConfig.thinkingLevel",
        ),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": "much"}}},
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        ({"generationConfig": []}, ""),
    ],
)
def test_invalid_requests(fields: Any, param: str) -> None:
    """What is malformed is a 400 that names the field."""
    body = {"contents": [user(PROMPT)], **fields}
    if not param:
        assert from_generate_content(body, "m").request["messages"]
        return
    with pytest.raises(HTTPError) as caught:
        from_generate_content(body, "m")
    assert (caught.value.status, caught.value.param) == (400, param)
    assert caught.value.message.startswith(f"`{param}`")


def test_full_request_translation() -> None:
    """Media, calls without ids, schemas, thoughts, modes and efforts are translated."""
    schema = {
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING", "nullable": True, "enum": ["a"]},
            "many": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "1"},
            "either": {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}], "nullable": True},
        },
        "required": ["type"],
        "propertyOrdering": ["type", "many"],
    }
    request = from_generate_content(
        {
            "contents": [
                user(
                    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                    {"inline_data": {"mime_type": "audio/mpeg", "data": "BBBB"}},
                    {"inlineData": {"mimeType": "application/pdf", "data": "CCCC"}},
                    {"fileData": {"mimeType": "image/png", "fileUri": "https://x/y.png"}},
                    {"fileData": {"fileUri": "gs://bucket/z.pdf"}},
                ),
                model(
                    {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
                    "One moment.",
                    {"functionCall": {"name": "f", "args": {"n": 1}}, "thoughtSignature": "Zg=="},
                    {"functionCall": {"name": "f"}},
                ),
                user(
                    {"functionResponse": {"name": "f", "response": {"result": "1"}}},
                    {"functionResponse": {"name": "f", "response": {"error": "no"}}},
                    "And?",
                ),
                model({"text": "hm", "thought": True}),
            ],
            "tools": [{"functionDeclarations": [{"name": "f"}, {**WEATHER, "description": "d"}]}],
            "toolConfig": {
                "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}
            },
            "safetySettings": [{"category": "X", "threshold": "BLOCK_NONE"}],
            "labels": {"a": "b"},
            "generationConfig": {
                "responseMimeType": "application/json",
                "responseSchema": schema,
                "topK": 40,
                "candidateCount": 2,
                "thinkingConfig": {"thinkingBudget": 5000, "includeThoughts": True},
            },
        },
        "m",
    ).request
    media, reply, first, second, more = request["messages"]
    kinds = [part["type"] for part in media["content"]]
    assert kinds == ["image_url", "input_audio", "file", "image_url", "file"]
    assert media["content"][1]["input_audio"] == {"data": "BBBB", "format": "mp3"}
    assert media["content"][2]["file"]["file_data"] == "data:application/pdf;base64,CCCC"
    assert media["content"][4]["file"] == {"file_id": "gs://bucket/z.pdf"}
    assert reply["content"] == "One moment."
    assert reply["extra_content"]["google"]["thought_signature"] == "c2ln"
    calls = reply["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ['{"n":1}', "{}"]
    assert calls[0]["extra_content"]["google"]["thought_signature"] == "Zg=="
    assert [first["tool_call_id"], second["tool_call_id"]] == [call["id"] for call in calls]
    assert (first["content"], second["content"]) == ("1", '{"error": "no"}')
    assert more == {"role": "user", "content": [{"type": "text", "text": "And?"}]}
    assert [tool["function"]["name"] for tool in request["tools"]] == ["weather"]
    assert (request["tool_choice"], request["n"]) == ("required", 2)
    assert request["reasoning_effort"] == "medium"
    assert request["response_format"]["json_schema"]["schema"] == {
        "type": "object",
        "properties": {
            "type": {"type": ["string", "null"], "enum": ["a", None]},
            "many": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
            "either": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
        },
        "required": ["type"],
    }
    assert "top_k" not in request


@pytest.mark.parametrize(
    ("config", "effort"),
    [
        ({"thinkingBudget": 0}, "none"),
        ({"thinkingBudget": 30_000}, "xhigh"),
        ({"thinkingBudget": -1}, None),
        ({"thinkingLevel": "LOW"}, "low"),
        ({"thinking_level": "THINKING_LEVEL_UNSPECIFIED"}, None),
    ],
)
def test_thinking(config: Any, effort: str | None) -> None:
    """Budgets and levels become `reasoning_effort`; a dynamic budget sets none."""
    body = {"contents": [user("x")], "generationConfig": {"thinkingConfig": config}}
    assert from_generate_content(body, "m").request.get("reasoning_effort") == effort
    assert not includes_thoughts(body)


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({"mode": "NONE"}, "none"),
        ({"mode": "AUTO"}, "auto"),
        ({"mode": "VALIDATED"}, "auto"),
        ({}, None),
    ],
)
def test_modes(calling: Any, choice: str | None) -> None:
    """Each mode has its `tool_choice`; without a mode there is none."""
    config = {"functionCallingConfig": calling}
    request = from_generate_content(
        {"contents": [user("x")], "tools": TOOLS, "toolConfig": config}, "m"
    ).request
    assert request.get("tool_choice") == choice
