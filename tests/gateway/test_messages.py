"""Anthropic's endpoint in front of a provider of OpenAI's format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multirouter.gateway.formats.anthropic.requests import from_messages
from multirouter.gateway.formats.anthropic.stream import MessageEvents
from multirouter.gateway.http.http_error import HTTPError
from tests.gateway.harness import PROMPT, REPLY, Answer, Harness, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]

WEATHER = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {}}}}


async def create(harness: Harness, **fields: Any) -> Answer:
    return await harness.send(path="/v1/messages", max_tokens=100, **fields)


async def test_message() -> None:
    """The request is translated, and the answer; input tokens exclude cached ones."""
    async with running_gateway() as harness:
        answer = await create(harness, system="Be brief.", stop_sequences=["END"], temperature=0.5)
        sent = harness.fakes[0].requests[-1].body
    message = answer.json
    assert message["content"] == [{"type": "text", "text": REPLY}]
    assert (message["type"], message["role"], message["stop_reason"]) == (
        "message",
        "assistant",
        "end_turn",
    )
    assert message["id"].startswith("msg_")
    assert message["usage"]["cache_read_input_tokens"] == 1
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (sent["stop"], sent["temperature"], sent["max_tokens"]) == (["END"], 0.5, 100)


async def test_stream() -> None:
    """Events have name and type; blocks open and close in order; the stream ends once."""
    async with running_gateway(["cut-after-3"], []) as harness:
        answer = await create(harness, stream=True)
    names = [line[7:].decode() for line in answer.data.split(b"\n") if line[:7] == b"event: "]
    assert names == [event["type"] for event in answer.events]
    assert names[:2] == ["message_start", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    text = "".join(e["delta"]["text"] for e in answer.events if "text" in e.get("delta", ()))
    assert text == REPLY
    assert answer.events[-2]["usage"]["output_tokens"] > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_tools(stream: bool) -> None:
    """A call has its input as an object; its result becomes a tool message."""
    turns = [{"role": "user", "content": "the weather please"}]
    async with running_gateway() as harness:
        answer = await create(harness, messages=turns, tools=[WEATHER], stream=stream)
        call = {"type": "tool_use", "id": "call_0_weather", "name": "weather", "input": {"c": 1}}
        result = {"type": "tool_result", "tool_use_id": "call_0_weather", "content": "rain"}
        turns += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        again = await create(harness, messages=turns, tools=[WEATHER])
        sent = harness.fakes[0].requests[-1].body["messages"]
    if stream:
        starts = [e["content_block"] for e in answer.events if "content_block" in e]
        pieces = [
            e["delta"]["partial_json"]
            for e in answer.events
            if e["type"][-5:] == "delta" and "partial_json" in e["delta"]
        ]
        assert (starts[0]["type"], starts[0]["name"]) == ("tool_use", "weather")
        assert json.loads("".join(pieces)) == {"city": "Zürich"}
        assert answer.events[-2]["delta"]["stop_reason"] == "tool_use"
    else:
        assert answer.json["content"][0]["input"] == {"city": "Zürich"}
        assert answer.json["stop_reason"] == "tool_use"
    assert again.status == 200
    assert sent[1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"c":1}'}
    assert sent[2] == {"role": "tool", "tool_call_id": "call_0_weather", "content": "rain"}


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("context-too-long", 400, "invalid_request_error"),
        ("429-retry-after-50", 429, "rate_limit_error"),
        ("fail-503", 503, "overloaded_error"),
        ("no-model", 404, "not_found_error"),
        ("fail-500", 502, "api_error"),
    ],
)
async def test_errors(fault: str, status: int, kind: str) -> None:
    """Errors have Anthropic's format and types, and its words for a long prompt."""
    async with running_gateway([fault]) as harness:
        answer = await create(harness)
    assert (answer.status, answer.json["type"], answer.json["error"]["type"]) == (
        status,
        "error",
        kind,
    )
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    if fault == "context-too-long":
        assert "prompt is too long" in answer.json["error"]["message"]


async def test_error_after_content() -> None:
    """A broken stream ends with `event: error` and without message_stop."""
    async with running_gateway(["cut-after-3"]) as harness:
        answer = await create(harness, stream=True)
    assert answer.broken
    assert b"event: error\n" in answer.data
    assert answer.events[-1]["type"] == "error"
    assert not any(event["type"] == "message_stop" for event in answer.events)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 0},
        {"max_tokens": None},
        {"messages": []},
        {"messages": [{"role": 7, "content": "x"}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": 7}]},
        {"messages": [{"role": "user", "content": [{"type": 7}]}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}
            ]
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "document", "source": {"type": "text"}}]}
            ]
        },
        {"tools": [{"name": "x"}]},
    ],
)
def test_invalid_requests(fields: Any) -> None:
    """What is malformed is a 400."""
    turns = [{"role": "user", "content": PROMPT}]
    body = {"model": "m", "max_tokens": 5, "messages": turns, **fields}
    with pytest.raises(HTTPError) as caught:
        from_messages(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
        ({"thinking": {"type": "adaptive"}}, {"reasoning_effort": "high"}),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            {"reasoning_effort": "low"},
        ),
        ({"metadata": {"user_id": "u"}}, {"user": "u"}),
        ({"tools": [{**WEATHER, "cache_control": {"type": "ephemeral"}}]}, {}),
    ],
)
def test_option_translation(fields: Any, expected: dict[str, Any]) -> None:
    """Thinking becomes an effort, `user_id` becomes `user`, and cache marks are kept."""
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": PROMPT},
        {"role": "assistant", "content": "One"},
    ]
    body = {"model": "m", "max_tokens": 5, "messages": turns, **fields}
    request = from_messages(body).request
    assert {name: request.get(name) for name in expected} == expected
    assert [message["role"] for message in request["messages"]] == ["system", "user", "assistant"]
    marks = [tool.get("cache_control") for tool in request.get("tools", ())]
    assert marks == [tool.get("cache_control") for tool in fields.get("tools", ())]


def test_full_request_translation() -> None:
    """Images, documents, thinking, tool choices, efforts and schemas are translated."""
    image = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    request = from_messages(
        {
            "model": "m",
            "max_tokens": 5,
            "system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "look"},
                        {"type": "image", "source": image},
                        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
                        {"type": "document", "source": {**image, "media_type": "application/pdf"}},
                    ],
                },
                {"role": "assistant", "content": [thinking, {"type": "text", "text": "b"}]},
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t",
                            "is_error": True,
                            "content": [{"type": "text", "text": "no"}],
                        }
                    ],
                },
            ],
            "tools": [{**WEATHER, "description": "d", "strict": True}],
            "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
            "thinking": {"type": "enabled", "budget_tokens": 9000},
            "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
            "metadata": {"user_id": "u"},
        }
    ).request
    system, user, assistant, tool = request["messages"]
    assert system["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert [part["type"] for part in user["content"]] == [
        "text",
        "image_url",
        "image_url",
        "file",
        "file",
    ]
    assert user["content"][1]["image_url"]["url"] == "data:image/png;base64,AAAA"
    assert assistant["thinking_blocks"] == [thinking]
    assert tool == {"role": "tool", "tool_call_id": "t", "content": "error: no"}
    assert request["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert request["parallel_tool_calls"] is False
    assert request["reasoning_effort"] == "high"
    assert request["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert request["user"] == "u"


def _events(data: bytes) -> list[Any]:
    lines = [line[6:] for line in data.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines]


def test_interleaved_tool_calls() -> None:
    """Interleaved calls are sent one after the other, each whole."""
    events = MessageEvents("req_1")

    def chunk(number: int, arguments: str, name: str | None = None) -> Any:
        call = {"index": number, "id": f"c{number}", "function": {"arguments": arguments}}
        if name:
            call["function"]["name"] = name
        return {"id": "x", "model": "m", "choices": [{"delta": {"tool_calls": [call]}}]}

    pieces = [(0, "", "f"), (1, "", "g"), (0, '{"a"', None), (1, "{}", None), (0, ": 1}", None)]
    data = b"".join(events.feed(chunk(*piece)) for piece in pieces) + events.end()
    arguments_by_block: dict[int, str] = {}
    open_ = None
    for event in _events(data):
        if event["type"] == "content_block_start":
            assert open_ is None
            open_ = event["index"]
            arguments_by_block[open_] = ""
        elif event["type"] == "content_block_delta":
            assert event["index"] == open_
            arguments_by_block[open_] += event["delta"]["partial_json"]
        elif event["type"] == "content_block_stop":
            open_ = None
    assert list(arguments_by_block.values()) == ['{"a": 1}', "{}"]


def test_thinking_text_and_signatures() -> None:
    """Thinking is a block of its own, signed at its end; the text is another block."""
    events = MessageEvents("req_1")
    block = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    hidden = {"type": "redacted_thinking", "data": "zz"}
    deltas = [
        {"reasoning_content": "hm"},
        {"thinking_blocks": [block]},
        {"thinking_blocks": [hidden]},
        {"content": "hi"},
    ]
    chunks = [{"id": "x", "model": "m", "choices": [{"delta": delta}]} for delta in deltas]
    data = b"".join(map(events.feed, chunks)) + events.end()
    starts = [e["content_block"]["type"] for e in _events(data) if "content_block" in e]
    deltas_ = [e["delta"]["type"] for e in _events(data) if e["type"] == "content_block_delta"]
    assert starts == ["thinking", "redacted_thinking", "text"]
    assert deltas_ == ["thinking_delta", "signature_delta", "text_delta"]


def test_losses_are_in_the_order_of_the_client() -> None:
    """The same request always has the same header of dropped fields."""
    names = [f"invented_{number}" for number in (7, 3, 9, 1, 4)]
    body: Any = {
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "Hello"}],
        "metadata": {"user_id": "u", **dict.fromkeys(names, 1)},
        "thinking": {"type": "adaptive", **dict.fromkeys(names, 1)},
    }
    in_order = [f"{field}.{name}" for field in ("metadata", "thinking") for name in names]
    assert list(from_messages(body).losses) == in_order
