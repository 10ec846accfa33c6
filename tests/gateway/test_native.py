"""Requests and answers of the client's own format pass as they are."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.gateway.harness import Answer, Harness
from tests.gateway.upstream import Dropped, Sent, gateway_before, sse

pytestmark = [pytest.mark.backends("asyncio")]

MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "ok"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 5},
}
CHAT: dict[str, Any] = {
    "id": "c1",
    "model": "m",
    "choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}
MARK = {"type": "ephemeral", "ttl": "1h"}
INVENTED: dict[str, Any] = {
    "model": "claude-x",
    "max_tokens": 100,
    "wondrous_field": {"edits": [{"type": "clear_20990101"}]},
    "cache_control": MARK,
    "thinking": {"type": "wandering", "display": "omitted"},
    "output_config": {"effort": "stupendous", "shape": "round"},
    "tools": [
        {"type": "teleport_20990101", "name": "teleport", "range_km": 3},
        {"name": "Read", "input_schema": {"type": "object"}, "defer_loading": True},
    ],
    "tool_choice": {"type": "perhaps"},
    "messages": [
        {"role": "user", "content": [{"type": "hologram", "data": "x", "cache_control": MARK}]},
        {"role": "narrator", "content": [{"type": "text", "text": "Meanwhile"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "a", "signature": "s1"},
                {"type": "text", "text": "first", "cache_control": MARK},
                {"type": "thinking", "thinking": "b", "signature": "s2"},
                {"type": "dream", "tokens": [1, 2]},
                {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "tool_reference", "tool_name": "Read"}],
                    "is_error": True,
                    "cache_control": MARK,
                }
            ],
        },
    ],
    "metadata": {"user_id": "u" * 203, "shoe_size": 44},
}


async def post(
    harness: Harness, body: Any, path: str = "/v1/messages", headers: Any = None
) -> Answer:
    return await harness.post(path, json.dumps(body).encode(), headers)


async def test_anthropic_request_reaches_an_anthropic_provider_as_it_is() -> None:
    """Invented fields and types arrive in their order, with the format's headers and query."""
    async with gateway_before(("anthropic", lambda _: MESSAGE)) as (harness, (upstream,)):
        answer = await post(
            harness,
            {"timeout": 60, **INVENTED},
            "/v1/messages?beta=true",
            {
                "anthropic-beta": "later-2099-01-01",
                "anthropic-version": "2099-01-01",
                "anthropic-novelty": "yes",
                "Authorization": "Bearer of-the-client",
            },
        )
    sent = upstream.sent[0]
    assert answer.status == 200
    assert sent.body == INVENTED
    assert list(sent.body) == list(INVENTED)
    assert sent.path == "/v1/messages?beta=true"
    assert sent.headers["anthropic-beta"] == "later-2099-01-01"
    assert sent.headers["anthropic-version"] == "2099-01-01"
    assert sent.headers["anthropic-novelty"] == "yes"
    assert "authorization" not in sent.headers
    assert "X-Dropped-Fields" not in answer.headers


async def test_anthropic_answer_passes_as_it_is() -> None:
    """Reasons, blocks, usage and request id reach the client; the gateway counts the tokens."""
    body = {
        **MESSAGE,
        "content": [
            {"type": "text", "text": "a", "citations": [{"type": "char_location"}]},
            {"type": "tool_use", "id": "toolu_9", "name": "Read", "input": {"n": 1e300}},
            {"type": "daydream", "about": ["x"]},
            {"type": "text", "text": "b"},
        ],
        "stop_reason": "nap",
        "stop_sequence": "END",
        "usage": {**MESSAGE["usage"], "server_tool_use": {"web_search_requests": 1}},
        "wondrous": True,
    }
    async with gateway_before(("anthropic", lambda _: body)) as (harness, _):
        answer = await post(harness, INVENTED)
        logged = harness.log.events[-1][2]
    assert answer.json == body
    assert answer.headers["request-id"] == "req_upstream"
    assert answer.headers["X-Request-Id"] != "req_upstream"
    assert logged["tokens"] == 15


def stream_events() -> list[dict[str, Any]]:
    start = {**MESSAGE, "content": [], "stop_reason": None, "usage": {"input_tokens": 3}}
    return [
        {"type": "message_start", "message": start, "novelty": 1},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "thinking_delta", "thinking": "hm", "estimated_tokens": 7},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "signature_delta", "signature": "c2ln"},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "scrying", "id": "srv_1", "ball": "glass"},
        },
        {"type": "content_block_delta", "index": 1, "delta": {"type": "mist_delta", "mist": "."}},
        {"type": "content_block_stop", "index": 1},
        {"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "unheard_of", "x": [1]},
        {"type": "content_block_stop", "index": 2},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "pause_turn", "stop_sequence": None, "container": {"id": 1}},
            "usage": {"output_tokens": 4, "output_tokens_details": {"thinking_tokens": 2}},
            "context_management": {"applied_edits": []},
        },
        {"type": "message_stop"},
    ]


async def test_anthropic_stream_passes_as_it_is() -> None:
    """Every event of the provider reaches the client once, unchanged and in order."""
    events = stream_events()
    async with gateway_before(("anthropic", lambda _: sse(*events))) as (harness, (upstream,)):
        answer = await post(harness, {**INVENTED, "stream": True})
        logged = harness.log.events[-1][2]
    assert answer.data == sse(*events)
    assert answer.headers["request-id"] == "req_upstream"
    assert upstream.sent[0].body == {**INVENTED, "stream": True}
    assert logged["tokens"] == 7


@pytest.mark.parametrize("second", ["anthropic", "openai", "gemini"])
async def test_broken_native_stream_is_continued(second: str) -> None:
    """A stream that breaks within its text goes on at any provider, as one valid message."""
    events = stream_events()
    text_block = [{**event, "index": 1} for event in events[9:11]]
    first = [*events[:6], *text_block]

    def breaks(_: Sent) -> Any:
        raise Dropped(sse(*first))

    def goes_on(sent: Sent) -> Any:
        text = "hi there"
        if second == "anthropic":
            delta = {"type": "text_delta", "text": text}
            return sse(
                events[0],
                {**events[9], "index": 0},
                {"type": "content_block_delta", "index": 0, "delta": delta},
                {"type": "content_block_stop", "index": 0},
                *events[13:],
            )
        if second == "gemini":
            part = {"role": "model", "parts": [{"text": text}]}
            return sse({"candidates": [{"content": part, "finishReason": "STOP", "index": 0}]})
        choice = {"index": 0, "delta": {"role": "assistant", "content": text}}
        return sse(
            {"id": "c", "model": "m", "choices": [choice]},
            {"id": "c", "model": "m", "choices": [{"delta": {}, "finish_reason": "stop"}]},
        )

    async with gateway_before(("anthropic", breaks), (second, goes_on)) as (harness, _):
        answer = await post(harness, {**plain(), "stream": True})
    assert not answer.broken, answer.data
    types = [event["type"] for event in answer.events]
    assert types.count("message_start") == types.count("message_stop") == 1
    assert types[-1] == "message_stop"
    started = [e["index"] for e in answer.events if e["type"] == "content_block_start"]
    stopped = [e["index"] for e in answer.events if e["type"] == "content_block_stop"]
    assert started == stopped == [0, 1]
    deltas = [e["delta"] for e in answer.events if e["type"] == "content_block_delta"]
    assert "".join(delta.get("text", "") for delta in deltas) == "hi there"


def plain() -> dict[str, Any]:
    turns = [{"role": "user", "content": "hi"}]
    return {"model": "claude-x", "max_tokens": 100, "messages": turns}


async def test_prefill_of_a_native_request() -> None:
    """A stream that broke is continued by a prefill behind the client's own turns."""
    events = stream_events()

    def breaks(_: Sent) -> Any:
        raise Dropped(sse(events[0], *events[9:11]).replace(b'"index": 2', b'"index": 0'))

    def goes_on(_: Sent) -> Any:
        return sse(events[0], events[9], events[10], *events[12:])

    settings = {"capabilities": {"prefill"}}
    body = {**plain(), "novelty": 1, "stream": True}
    upstreams = (("anthropic", breaks), ("anthropic", goes_on))
    async with gateway_before(*upstreams, settings=settings) as (harness, (_, second)):
        await post(harness, body)
    prefill = {"role": "assistant", "content": [{"type": "text", "text": "hi"}]}
    assert second.sent[0].body == {**body, "messages": [*body["messages"], prefill]}


async def test_turns_of_a_conversation_extend_the_prompt() -> None:
    """The serialized conversation of a turn is a prefix of that of the next, for caches."""
    async with gateway_before(("anthropic", lambda _: MESSAGE)) as (harness, (upstream,)):
        body = dict(INVENTED)
        for turn in range(4):
            await post(harness, {**body, "stream": bool(turn % 2)} if turn % 2 else body)
            more = [
                {"role": "assistant", "content": MESSAGE["content"]},
                {"role": "user", "content": f"turn {turn}"},
            ]
            body = {**body, "messages": [*body["messages"], *more]}
    texts = [sent.text for sent in upstream.sent]
    conversations = [
        text[text.index('"messages":[') : text.index('],"metadata"')] for text in texts
    ]
    for one, next_ in itertools.pairwise(conversations):
        assert next_.startswith(one)


async def test_what_other_formats_lack_is_dropped_and_named() -> None:
    """A provider of another format serves invented fields; a header names what it did not get."""
    async with gateway_before(("openai", lambda _: CHAT)) as (harness, (upstream,)):
        answer = await post(harness, INVENTED)
    dropped = answer.headers["X-Dropped-Fields"].split(", ")
    assert answer.status == 200
    assert answer.json["content"] == [{"type": "text", "text": "ok"}]
    assert {
        "wondrous_field",
        "cache_control",
        "tools.teleport_20990101",
        "messages.content.hologram",
        "messages.role.narrator",
        "tool_choice.perhaps",
        "output_config.shape",
        "thinking.display",
        "metadata.shoe_size",
    } <= set(dropped)
    sent = upstream.sent[0].body
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["Read"]
    assert "wondrous_field" not in sent


GEMINI: dict[str, Any] = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"text": "ok", "novelty": 1}]},
            "finishReason": "STOP",
            "index": 0,
            "groundingMetadata": {"webSearchQueries": ["x"]},
        }
    ],
    "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
    "modelVersion": "gemini-x",
    "responseId": "r1",
}
GENERATE: dict[str, Any] = {
    "contents": [
        {"role": "user", "parts": [{"text": "hi", "novelty": 1}, {"executableCode": {"a": 1}}]}
    ],
    "tools": [{"googleSearch": {}}, {"timeTravel": {"year": 2099}}],
    "safetySettings": [{"category": "X", "threshold": "BLOCK_LOW_AND_ABOVE"}],
    "generationConfig": {"topK": 40, "novelty": [1], "mediaResolution": "HIGH"},
    "novelty": {"a": 1},
}
GENERATE_PATH = "/v1beta/models/gemini-x:generateContent"
STREAM_PATH = "/v1beta/models/gemini-x:streamGenerateContent"


async def test_gemini_passes_as_it_is() -> None:
    """The same holds for Gemini at Gemini, whole."""
    async with gateway_before(("gemini", lambda _: GEMINI)) as (harness, (upstream,)):
        answer = await post(harness, GENERATE, GENERATE_PATH)
    assert upstream.sent[0].body == GENERATE
    assert answer.json == GEMINI


@pytest.mark.parametrize("query", ["?alt=sse", ""])
async def test_gemini_stream_passes_as_it_is(query: str) -> None:
    """The same holds for streams, as events and as a JSON array."""
    image = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    content = {"role": "model", "parts": [image]}
    pieces = [{**GEMINI, "candidates": [{"content": content, "index": 0}]}, GEMINI]
    async with gateway_before(("gemini", lambda _: sse(*pieces))) as (harness, _):
        answer = await post(harness, GENERATE, STREAM_PATH + query)
    assert (answer.events if query else answer.json) == pieces


async def test_gemini_fields_that_others_lack() -> None:
    """Fields of Google's alone are dropped and named; a cached prompt is `unsupported`."""
    async with gateway_before(("openai", lambda _: CHAT)) as (harness, (upstream,)):
        answer = await post(harness, GENERATE, GENERATE_PATH)
        cached = await post(harness, {**GENERATE, "cachedContent": "c/1"}, GENERATE_PATH)
    dropped = set(answer.headers["X-Dropped-Fields"].split(", "))
    assert answer.status == 200
    assert {"novelty", "tools.timeTravel", "contents.parts.executableCode"} <= dropped
    assert cached.status == 400
    assert "cachedContent" in cached.json["error"]["message"]
    assert len(upstream.sent) == 1


async def test_unknown_field_of_openai_is_dropped_for_anthropic() -> None:
    """An OpenAI client's unknown field is left out at Anthropic, and named."""
    async with gateway_before(("anthropic", lambda _: MESSAGE)) as (harness, (upstream,)):
        answer = await harness.send(novelty=1)
    assert answer.status == 200
    assert answer.headers["X-Dropped-Fields"] == "novelty"
    assert "novelty" not in upstream.sent[0].body


async def test_configured_headers_and_drops_apply_to_native_requests() -> None:
    """What the configuration says wins: joined beta features, dropped fields, set options."""
    settings = {
        "headers": {"Anthropic-Beta": "ours-1", "anthropic-novelty": "ours"},
        "drops": ("wondrous_field",),
        "options": {"service_tier": "standard_only"},
        "model": "claude-y",
    }
    async with gateway_before(("anthropic", lambda _: MESSAGE), settings=settings) as (
        harness,
        (upstream,),
    ):
        headers = {"anthropic-beta": "theirs-1, ours-1", "anthropic-novelty": "theirs"}
        await post(harness, INVENTED, headers=headers)
    sent = upstream.sent[0]
    assert sent.headers["anthropic-beta"] == "ours-1,theirs-1"
    assert sent.headers["anthropic-novelty"] == "ours"
    expected = {**INVENTED, "model": "claude-y", "service_tier": "standard_only"}
    del expected["wondrous_field"]
    assert sent.body == expected
