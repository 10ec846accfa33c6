"""Upstreams that answer 200 with invalid content, behind every chat endpoint."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from multirouter import Route
from multirouter.gateway.formats.openai.normalize_answers import ChunkNormalizer, normalize_answer
from multirouter.providers import OpenAI
from tests.gateway.harness import PROMPT, REPLY, SECRET, Answer, Harness, running_gateway

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
        upstream = OpenAI("first", base_url=f"http://{host}:{port}/v1", api_key=SECRET)
        before: dict[str, Any] = {provider.name: provider for provider in harness.router.providers}
        chain = [upstream, *(p for name, p in before.items() if name != "first")]
        harness.router.reconfigure(chain, [Route("main", [provider.name for provider in chain])])
        await before["first"].aclose()
        yield
    finally:
        await runner.cleanup()


async def request_chat(harness: Harness, endpoint: str, *, stream: bool) -> Answer:
    plain, streamed, body = ENDPOINTS[endpoint]
    body = {"messages": MESSAGES, **body} if endpoint != "gemini" else body
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
@pytest.mark.parametrize("logprobs", ["x", {"content": [1]}, {"content": None}])
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
