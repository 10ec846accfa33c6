"""Upstreams that answer 200 with invalid content, behind every chat endpoint."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from multirouter import Route
from multirouter.gateway.formats.openai.logprobs import token_logprobs
from multirouter.gateway.formats.openai.normalize_answers import ChunkNormalizer, normalize_answer
from multirouter.providers import OpenAI
from multirouter.providers.anthropic.response import usage_from as anthropic_usage
from multirouter.providers.gemini.response import usage_from as gemini_usage
from multirouter.providers.openai.responses.response import usage_from as responses_usage
from tests.gateway.harness import PROMPT, REPLY, SECRET, Answer, Harness, running_gateway
from tests.gateway.upstream import gateway_before, sse

pytestmark = [pytest.mark.backends("asyncio")]

MESSAGES = [{"role": "user", "content": PROMPT}]
ENDPOINTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "openai": ("/v1/chat/completions", "/v1/chat/completions", {"model": "m"}),
    "anthropic": ("/v1/messages", "/v1/messages", {"model": "m", "max_tokens": 9}),
    "gemini": (
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        {"contents": [{"parts": [{"text": PROMPT}]}]},
    ),
    "responses": ("/v1/responses", "/v1/responses", {"model": "m", "input": PROMPT}),
}
UNREADABLE: list[dict[str, Any]] = [
    {"message": "x"},
    {"message": []},
    {"message": {"content": 5}},
    {"message": {"tool_calls": "x"}},
    {"message": {"tool_calls": [1]}},
    {"message": {"tool_calls": [{"id": 7}]}},
    {"message": {"tool_calls": [{"id": "a", "function": 3}]}},
    {"message": {"tool_calls": [{"id": "a", "function": {"name": ["f"]}}]}},
    {"message": {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": 3}}]}},
    {"finish_reason": 5},
    {"finish_reason": ["stop"]},
    {"index": [1]},
]


def choice(name: str, **defect: Any) -> dict[str, Any]:
    """A choice with one defect."""
    content = defect.pop("message", {"role": "assistant", "content": "hi"})
    return {"index": 0, name: content, "finish_reason": "stop", **defect}


@asynccontextmanager
async def upstream_answering(harness: Harness, data: bytes, kind: str) -> AsyncIterator[None]:
    """Makes the first provider one that answers every request with `data`."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=data, headers={"Content-Type": kind})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        upstream = OpenAI("first", base_url=f"http://{host}:{port}/v1", api_key=SECRET, api="chat")
        before: dict[str, Any] = {provider.name: provider for provider in harness.router.providers}
        chain = [upstream, *(p for name, p in before.items() if name != "first")]
        harness.router.reconfigure(chain, [Route("main", [provider.name for provider in chain])])
        await before["first"].aclose()
        yield
    finally:
        await runner.cleanup()


async def request_chat(harness: Harness, endpoint: str, *, stream: bool) -> Answer:
    plain, streamed, body = ENDPOINTS[endpoint]
    body = {"messages": MESSAGES, **body} if endpoint in {"openai", "anthropic"} else body
    if stream and endpoint != "gemini":
        body = {**body, "stream": True}
    return await harness.post(streamed if stream else plain, json.dumps(body).encode())


def events(*chunks: Any) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("defect", UNREADABLE, ids=str)
async def test_unreadable_answer_fails_over(defect: dict[str, Any], endpoint: str) -> None:
    """Wrong types in an answer or a chunk are a failure of its provider: failover."""
    async with running_gateway([], []) as harness:
        body = {"id": "x", "model": "m", "choices": [choice("message", **defect)]}
        async with upstream_answering(harness, json.dumps(body).encode(), "application/json"):
            whole = await request_chat(harness, endpoint, stream=False)
        chunk = {"id": "x", "model": "m", "choices": [choice("delta", **defect)]}
        async with upstream_answering(harness, events(chunk), "text/event-stream"):
            streamed = await request_chat(harness, endpoint, stream=True)
    for answer in (whole, streamed):
        assert (answer.status, answer.broken) == (200, False)
        assert answer.headers["X-Provider"] == "second"
    assert REPLY in whole.data.decode()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_choice_without_anything_fails_over(endpoint: str) -> None:
    """An object that only looks like an answer is none, and no empty one."""
    body = {"id": "x", "model": "m", "choices": [{"index": 0, "novelty": {"content": "hi"}}]}
    async with (
        running_gateway([], []) as harness,
        upstream_answering(harness, json.dumps(body).encode(), "application/json"),
    ):
        answer = await request_chat(harness, endpoint, stream=False)
    assert (answer.status, answer.headers["X-Provider"]) == (200, "second")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "defect",
    [
        {"model": 5},
        {"model": ["m"]},
        {"model": "m\r\nSet-Cookie: a=b"},
        {"id": 5},
        {"id": ["x"]},
        {"usage": "x"},
        {"usage": [1]},
        {"usage": {"prompt_tokens": "many", "completion_tokens": -1}},
        {"usage": {"prompt_tokens": 1, "prompt_tokens_details": [1], "completion_tokens": 1e999}},
        {"usage": {"prompt_tokens": 1, "completion_tokens_details": "x"}},
    ],
    ids=str,
)
async def test_invalid_metadata_is_dropped(defect: dict[str, Any], endpoint: str) -> None:
    """An invalid model, id or usage is dropped, and the answer is sent."""
    async with running_gateway() as harness:
        whole = {"id": "x", "model": "m", "choices": [choice("message")], **defect}
        async with upstream_answering(harness, json.dumps(whole).encode(), "application/json"):
            whole = await request_chat(harness, endpoint, stream=False)
        chunk = {"id": "x", "model": "m", "choices": [choice("delta")], **defect}
        async with upstream_answering(harness, events(chunk), "text/event-stream"):
            streamed = await request_chat(harness, endpoint, stream=True)
    for answer in (whole, streamed):
        assert (answer.status, answer.broken) == (200, False)
        assert b"hi" in answer.data
        assert "Set-Cookie" not in answer.headers
    assert "internal_error" not in repr(harness.log.events)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "logprobs",
    [
        "x",
        {"content": [1]},
        {"content": None},
        {"content": True},
        {"content": [{"token": 3, "logprob": -1}, {"token": "a", "logprob": "b"}]},
        {"content": [{"token": "a", "logprob": -1, "top_logprobs": 7, "bytes": "b"}]},
        {"content": [{"token": "a", "logprob": -1, "top_logprobs": [None, {"token": []}]}]},
    ],
    ids=str,
)
async def test_invalid_log_probabilities(logprobs: Any, endpoint: str) -> None:
    """Log probabilities of an unknown form do not fail an answer."""
    body = {"id": "x", "model": "m", "choices": [choice("message", logprobs=logprobs)]}
    async with running_gateway() as harness:
        async with upstream_answering(harness, json.dumps(body).encode(), "application/json"):
            assert (await request_chat(harness, endpoint, stream=False)).status == 200
        body["choices"] = [choice("delta", logprobs=logprobs)]
        async with upstream_answering(harness, events(body), "text/event-stream"):
            assert (await request_chat(harness, endpoint, stream=True)).status == 200


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_tool_calls_of_other_types(endpoint: str) -> None:
    """A tool call that is not a function call is dropped in the other formats."""
    call = {"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}
    body = {"id": "x", "model": "m", "choices": [choice("message", message={"tool_calls": [call]})]}
    async with (
        running_gateway() as harness,
        upstream_answering(harness, json.dumps(body).encode(), "application/json"),
    ):
        answer = await request_chat(harness, endpoint, stream=False)
    assert answer.status == 200
    assert (b"custom" in answer.data) == (endpoint == "openai")


def test_arguments_as_an_object() -> None:
    """Arguments that are an object become a JSON string, whole and streamed."""
    call = {"id": "a", "function": {"name": "f", "arguments": {"city": "Zürich"}}}
    answer = {"choices": [choice("message", message={"tool_calls": [call]})]}
    function = normalize_answer(answer, "req_1")["choices"][0]["message"]["tool_calls"][0][
        "function"
    ]
    assert json.loads(function["arguments"]) == {"city": "Zürich"}
    normalizer = ChunkNormalizer("req_1", include_usage=False)
    piece = {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"n": 1}}}
    (chunk,) = normalizer.feed({"choices": [choice("delta", message={"tool_calls": [piece]})]})
    (answer,) = chunk["choices"][0]["delta"]["tool_calls"]
    assert json.loads(answer["function"]["arguments"]) == {"n": 1}


def test_choices_without_an_index() -> None:
    """A choice whose index is null gets its position as index."""
    answer = {"choices": [choice("message", index=None), choice("message", index=None)]}
    assert [answer["index"] for answer in normalize_answer(answer, "req_1")["choices"]] == [0, 1]
    normalizer = ChunkNormalizer("req_1", include_usage=False)
    (chunk,) = normalizer.feed({"choices": [choice("delta", index=None)]})
    assert chunk["choices"][0]["index"] == 0


THINKING = {
    "content": [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}, 1]},
        {"type": "text", "text": "h"},
        {"type": "reference", "reference_ids": [1]},
        {"type": "text", "text": "i"},
    ]
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_content_parts_become_text(endpoint: str) -> None:
    """A list of parts, as Mistral's thinking models send, becomes text in each format."""
    async with running_gateway() as harness:
        body = {"id": "x", "model": "m", "choices": [choice("message", message=dict(THINKING))]}
        async with upstream_answering(harness, json.dumps(body).encode(), "application/json"):
            whole = await request_chat(harness, endpoint, stream=False)
        pieces = [{"index": 0, "delta": dict(THINKING)}, choice("delta", message={"content": "!"})]
        chunks = [{"id": "x", "model": "m", "choices": [piece]} for piece in pieces]
        async with upstream_answering(harness, events(*chunks), "text/event-stream"):
            streamed = await request_chat(harness, endpoint, stream=True)
    for answer in (whole, streamed):
        assert (answer.status, answer.broken) == (200, False)
        assert b'"hi"' in answer.data
        assert b"reference" not in answer.data
        assert (b'"hmm"' in answer.data) == (
            endpoint != "gemini"
        )  # where thoughts were not requested


def test_log_probabilities_are_complete() -> None:
    """A token without bytes, which clients of Responses require, gets those of its text."""
    given = {"token": "é", "logprob": -1.0, "top_logprobs": [{"token": "e", "logprob": -2}, 3]}
    assert token_logprobs({"content": [given, {"token": "x", "logprob": math.nan}]}) == [
        {
            "token": "é",
            "logprob": -1.0,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -2, "bytes": [101]}],
        }
    ]
    (kept,) = token_logprobs({"content": [{**given, "bytes": [7]}]})
    assert kept["bytes"] == [7]


INVALID_CALLS: dict[str, dict[str, Any]] = {
    "anthropic": {
        "content": [{"type": "tool_use", "id": "t", "name": ["f"], "input": {}}],
        "stop_reason": "tool_use",
    },
    "anthropic id": {
        "content": [{"type": "tool_use", "id": 7, "name": "f", "input": {}}],
        "stop_reason": "tool_use",
    },
    "gemini": {
        "candidates": [
            {"content": {"parts": [{"functionCall": {"name": {}}}]}, "finishReason": "STOP"}
        ]
    },
    "gemini index": {
        "candidates": [
            {"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP", "index": 0.5}
        ]
    },
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("kind", INVALID_CALLS)
async def test_an_answer_of_any_format_is_checked(kind: str, endpoint: str) -> None:
    """Wrong types that would be an internal error, or broken by the client's SDK, fail over."""
    good = {"id": "x", "model": "m", "choices": [choice("message")]}
    upstreams = (
        (kind.split(maxsplit=1)[0], lambda _: INVALID_CALLS[kind]),
        ("chat", lambda _: good),
    )
    async with gateway_before(*upstreams) as (harness, _):
        answer = await request_chat(harness, endpoint, stream=False)
    assert (answer.status, answer.headers["X-Provider"]) == (200, "p1")


async def test_an_odd_status_of_a_response_is_read() -> None:
    """It says nothing, and the answer is taken as it is."""
    text = {"type": "output_text", "text": "hi", "annotations": []}
    odd = {"status": [1], "output": [{"type": "message", "role": "assistant", "content": [text]}]}
    async with gateway_before(("responses", lambda _: odd)) as (harness, _):
        answer = await request_chat(harness, "openai", stream=False)
    assert (answer.status, answer.text) == (200, "hi")


NO_COUNTS: list[Any] = ["many", 7, [1], {"a": 1}, math.nan, 1e400, -1, 0.5, True, 2**70]


@pytest.mark.parametrize("counts", NO_COUNTS, ids=repr)
@pytest.mark.parametrize(
    ("read", "name", "details"),
    [
        (anthropic_usage, "output_tokens", "output_tokens_details"),
        (gemini_usage, "candidatesTokenCount", "x"),
        (responses_usage, "output_tokens", "output_tokens_details"),
    ],
)
def test_counts_of_an_unknown_form_count_nothing(
    read: Any, name: str, details: str, counts: Any
) -> None:
    """A usage that is none, or has such a count, fails no answer that is complete."""
    assert read(counts)["total_tokens"] == 0
    used = read({name: counts, details: counts})
    assert (used["total_tokens"] in {0, 1, 7}, type(used["total_tokens"])) == (True, int)


def call_start(**block: Any) -> bytes:
    """The beginning of a stream of Anthropic's format with one call."""
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    return sse({"type": "message_start", "message": {"id": "x", "usage": {}}}, start)


BROKEN_STREAMS = {
    "anthropic": call_start(type="tool_use", id=["t"], name="f"),
    "anthropic name": call_start(type="tool_use", id="t", name={}),
    "gemini": sse({"candidates": [{"content": {"parts": [{"functionCall": {"name": []}}]}}]}),
}


@pytest.mark.parametrize("endpoint", ["openai", "responses"])
@pytest.mark.parametrize("kind", BROKEN_STREAMS)
async def test_a_stream_of_any_format_is_checked(kind: str, endpoint: str) -> None:
    """A call whose id or name is no text fails over, as in a whole answer."""
    good = events({"id": "x", "model": "m", "choices": [choice("delta")]}) + b"data: [DONE]\n\n"
    bad = kind.partition(" ")[0], lambda _: BROKEN_STREAMS[kind]
    async with gateway_before(bad, ("chat", lambda _: good)) as (harness, _):
        answer = await request_chat(harness, endpoint, stream=True)
    assert (answer.status, answer.headers["X-Provider"]) == (200, "p1")
