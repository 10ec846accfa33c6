"""Endpoint `POST /v1/responses`, in front of providers of every format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.gateway.harness import Answer, Harness
from tests.gateway.upstream import Dropped, Sent, gateway_before, sse

from .parsing import assembled, events_of, response_of

pytestmark = [pytest.mark.backends("asyncio")]

CHAT: dict[str, Any] = {
    "id": "c1",
    "model": "served",
    "choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "ok"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "output_tokens": 5},
}
GENERATED: dict[str, Any] = {
    "candidates": [{"content": {"parts": [{"text": "ok"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5},
    "modelVersion": "gemini",
}
RESPONSE: dict[str, Any] = {
    "id": "resp_up",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "ok", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
    "novelty": {"a": 1},
}
STARTED = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
BEGUN = {**RESPONSE["output"][0], "status": "in_progress", "content": []}
PART = {"type": "output_text", "text": "", "annotations": []}
OPENING = [
    {"type": "response.created", "response": STARTED},
    {"type": "response.output_item.added", "output_index": 0, "item": BEGUN},
    {"type": "response.content_part.added", **PLACE, "part": PART},
]


def numbered(*events: dict[str, Any]) -> bytes:
    return sse(*({**event, "sequence_number": number} for number, event in enumerate(events)))


def text(delta: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", **PLACE, "delta": delta, "logprobs": []}


WHOLE = numbered(*OPENING, text("ok"), {"type": "response.completed", "response": RESPONSE})
INVENTED: dict[str, Any] = {
    "model": "gpt-x",
    "input": [
        {"role": "user", "content": [{"type": "input_hologram", "data": "x"}]},
        {"type": "gizmo_state", "id": "g_1", "angle": 3},
        {"role": "narrator", "content": "Meanwhile"},
    ],
    "tools": [{"type": "gizmo", "power": 9}],
    "tool_choice": {"type": "gizmo"},
    "include": ["gizmo.results"],
    "wondrous": {"x": [1]},
    "store": False,
}


async def post(harness: Harness, body: Any, headers: Any = None) -> Answer:
    return await harness.post("/v1/responses", json.dumps(body).encode(), headers)


REPLIES = {"openai": CHAT, "anthropic": MESSAGE, "gemini": GENERATED}


@pytest.mark.parametrize("kind", REPLIES)
async def test_every_format_answers(kind: str) -> None:
    """A provider of each format answers, and the answer is one of the SDK's type."""

    def reply(sent: Sent) -> Any:
        return (404, {"detail": "Not Found"}) if "responses" in sent.path else REPLIES[kind]

    async with gateway_before((kind, reply)) as (harness, _):
        answer = await post(harness, {"model": "m", "input": "hi", "instructions": "Be brief."})
    response = response_of(answer.json)
    assert response.output_text == "ok"
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (10, 5)
    assert answer.headers["X-Provider"] == "p0"


async def test_requests_of_the_format_arrive_as_they_are() -> None:
    """Invented fields, items and tools reach a service of the format; its answer the client."""
    async with gateway_before(("openai", lambda _: RESPONSE)) as (harness, (upstream,)):
        answer = await post(harness, INVENTED, {"OpenAI-Beta": "x=1"})
    assert upstream.sent[0].path == "/v1/responses"
    assert upstream.sent[0].body == INVENTED
    assert upstream.sent[0].headers["openai-beta"] == "x=1"
    assert answer.json == RESPONSE
    assert "X-Dropped-Fields" not in answer.headers


async def test_what_has_no_counterpart_is_named() -> None:
    """Another format gets the rest; a header lists what it lacked."""
    async with gateway_before(("anthropic", lambda _: MESSAGE)) as (harness, _):
        answer = await post(harness, INVENTED)
    assert answer.status == 200
    assert set(answer.headers["X-Dropped-Fields"].split(", ")) == {
        "wondrous",
        "tools.gizmo",
        "input.input_hologram",
        "input.gizmo_state",
        "input.message.narrator",
    }


async def test_events_of_the_format_pass_as_they_are() -> None:
    """Every byte of the stream reaches the client, events of unknown types included."""
    odd = {"type": "response.gizmo.turned", "item_id": "g_1", "delta": {"angle": 4}}
    item = {"type": "response.output_item.done", "output_index": 1, "item": {"type": "gizmo"}}
    events = numbered(
        *OPENING, odd, text("ok"), odd, item, {"type": "response.completed", "response": RESPONSE}
    )
    async with gateway_before(("openai", lambda _: events)) as (harness, _):
        answer = await post(harness, {**INVENTED, "stream": True})
    assert answer.data == events
    assert not answer.broken


@pytest.mark.parametrize("end", ["completed", "incomplete"])
async def test_a_stream_without_text_is_whole(end: str) -> None:
    """An image, or reasoning cut by the limit: passed on in one attempt."""
    image = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk="}
    item = {"type": "response.output_item.done", "output_index": 0, "item": image}
    for middle in ([item], []):
        last = {"type": f"response.{end}", "response": {**RESPONSE, "status": end}}
        events = numbered(OPENING[0], *middle, last)
        async with gateway_before(("openai", lambda _, e=events: e)) as (harness, (upstream,)):
            answer = await post(harness, {"model": "m", "input": "hi", "stream": True})
        assert answer.data == events
        assert len(upstream.sent) == 1


@pytest.mark.parametrize(
    "first",
    [
        numbered(OPENING[0], {"type": "response.failed", "response": {"error": {"message": "x"}}}),
        numbered(OPENING[0], {"type": "error", "code": "server_error", "message": "x"}),
        numbered(*OPENING),
        b"data: {\n\n",
    ],
)
async def test_a_failure_before_content_fails_over(first: bytes) -> None:
    """The client gets the other provider's stream only, whatever the first one had begun."""
    async with gateway_before(
        ("openai", lambda _: first), ("anthropic", lambda _: ANTHROPIC_STREAM)
    ) as (harness, _):
        answer = await post(harness, {"model": "m", "input": "hi", "stream": True})
    events = events_of(answer.data)
    assert [one["text"] for one in assembled(events)] == ["ok"]
    assert answer.headers["X-Provider"] == "p1"


ANTHROPIC_STREAM = sse(
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ok"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
)


async def test_another_provider_continues_a_native_stream() -> None:
    """A broken stream is continued in the same message, with the same ids and rising numbers."""
    begun = numbered(*OPENING, text("Half of"))

    def breaks(_: Sent) -> Any:
        raise Dropped(begun)

    rest = ANTHROPIC_STREAM.replace(b'"ok"', b'" it"')
    async with gateway_before(("openai", breaks), ("anthropic", lambda _: rest)) as (harness, _):
        answer = await post(harness, {"model": "m", "input": "hi", "stream": True})
    assert answer.data.startswith(begun)
    events = events_of(answer.data)
    (message,) = assembled(events)
    assert message["text"] == "Half of it"
    assert message["done"]["content"][0]["text"] == "Half of it"
    assert {event["response"]["id"] for event in events if "response" in event} == {"resp_up"}
    assert events[-1]["response"]["output"] == [message["done"]]


async def test_a_stream_that_no_one_continues_fails() -> None:
    """A stream that broke in the middle of a call ends with `response.failed` and `error`."""
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "look", "arguments": ""}
    begun = numbered(
        OPENING[0],
        {"type": "response.output_item.added", "output_index": 0, "item": call},
        {
            "type": "response.function_call_arguments.delta",
            "item_id": "fc_1",
            "output_index": 0,
            "delta": '{"a',
        },
    )

    def breaks(_: Sent) -> Any:
        raise Dropped(begun)

    async with gateway_before(("openai", breaks)) as (harness, _):
        answer = await post(harness, {"model": "m", "input": "hi", "stream": True})
    assert answer.broken
    events = events_of(answer.data)
    assert [event["type"] for event in events[-2:]] == ["response.failed", "error"]
    assert assembled(events)[0]["done"] is None
    assert events[-2]["response"]["id"] == "resp_up"


async def test_a_service_without_the_path_gets_chats() -> None:
    """A 404 for the path: the same attempt goes on as a chat, and later ones begin there."""

    def reply(sent: Sent) -> Any:
        return (404, {"detail": "Not Found"}) if "responses" in sent.path else CHAT

    async with gateway_before(("openai", reply)) as (harness, (upstream,)):
        answers = [await post(harness, {"model": "m", "input": "hi"}) for _ in range(2)]
    paths = [sent.path.removeprefix("/v1/") for sent in upstream.sent]
    assert paths == ["responses", "chat/completions", "chat/completions"]
    assert [len(answer.trail) for answer in answers] == [1, 1]


async def test_an_unknown_model_is_no_missing_path() -> None:
    """A 404 that says that the model is missing stays one."""
    error = {"error": {"message": "The model `m` does not exist", "code": "model_not_found"}}
    async with gateway_before(("openai", lambda _: (404, error))) as (harness, (upstream,)):
        answer = await post(harness, {"model": "m", "input": "hi"})
    assert answer.status == 404
    assert {sent.path for sent in upstream.sent} == {"/v1/responses"}


async def test_reasoning_of_another_model_is_not_sent() -> None:
    """After a turn of another provider, OpenAI gets the conversation without its reasoning."""
    thinking = [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
    ]
    message = {**MESSAGE, "content": thinking, "stop_reason": "tool_use"}
    tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
    async with gateway_before(("openai", lambda _: RESPONSE), ("anthropic", lambda _: message)) as (
        harness,
        (openai, anthropic),
    ):
        harness.router.hold("p0", "open")
        first = await post(harness, {"model": "m", "input": "hi", "tools": tools})
        output = first.json["output"]
        history = [
            {"role": "user", "content": "hi"},
            *output,
            {"type": "function_call_output", "call_id": "toolu_1", "output": "ok"},
        ]
        await post(harness, {"model": "m", "input": history, "tools": tools})
        harness.router.unhold("p0")
        await post(harness, {"model": "m", "input": history, "tools": tools})
    assert [item["type"] for item in output] == ["reasoning", "function_call"]
    sent = anthropic.sent[1].body["messages"][1]["content"]
    assert sent == thinking
    kinds = [item.get("type", "message") for item in openai.sent[0].body["input"]]
    assert kinds == ["message", "function_call", "function_call_output"]


@pytest.mark.parametrize("field", ["previous_response_id", "conversation", "background"])
async def test_what_only_openai_stores_is_not_sent_to_others(field: str) -> None:
    """A request that refers to what a service stores goes to a service that has the format."""
    body = {"model": "m", "input": "hi", field: "resp_1" if field != "background" else True}
    async with gateway_before(("anthropic", lambda _: MESSAGE), ("openai", lambda _: RESPONSE)) as (
        harness,
        (anthropic, _),
    ):
        answer = await post(harness, body)
        assert answer.headers["X-Provider"] == "p1"
        assert not anthropic.sent
    async with gateway_before(("anthropic", lambda _: MESSAGE)) as (harness, _):
        answer = await post(harness, body)
    assert answer.status == 400
    assert field in answer.json["error"]["message"]


async def test_errors_have_openais_shape() -> None:
    """A malformed request is a 400 that names the field."""
    async with gateway_before(("anthropic", lambda _: MESSAGE)) as (harness, _):
        answer = await post(harness, {"model": "m"})
    assert (answer.status, answer.json["error"]["param"]) == (400, "input")
