"""Nothing about one request opens a circuit for others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from multirouter.providers import Gemini, OpenAI
from tests.gateway.harness import SECRET, Harness, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]


@asynccontextmanager
async def upstream(answer: Any) -> AsyncIterator[str]:
    """A provider that answers with what a function makes of a body."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response: web.StreamResponse = answer(await request.json())
        return response

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def gateway_before(url: str) -> AsyncIterator[Harness]:
    made = OpenAI("first", base_url=f"{url}/v1", api_key=SECRET)
    own = {"call": made.call, "stream": made.stream, "aclose": made.aclose}
    async with running_gateway(providers={"first": own}) as harness:
        yield harness


def chunk(**choice: Any) -> bytes:
    body = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**body, "choices": [{"delta": {}, **choice}]}).encode() + b"\n\n"


@pytest.mark.parametrize("stream", [False, True])
async def test_quoted_values(stream: bool) -> None:
    """A value that the provider quotes in its 400 is not taken for the provider's words."""

    def quote(body: Any) -> web.Response:
        message = f"unknown glow [{body['glow']}]"
        return web.json_response({"error": {"message": message}}, status=400)

    async with upstream(quote) as url, gateway_before(url) as harness:
        for value in ("API key expired", "x] credit balance is too low [", "a\nAPI KEY expired"):
            answer = await harness.send(glow=value, stream=stream)
            assert answer.status == 400, answer.data
        assert harness.router.available("first")


@pytest.mark.parametrize(
    ("chunks", "whole"),
    [
        ([chunk(index=0, finish_reason="stop"), b"data: [DONE]\n\n"], True),
        ([chunk(index=0, finish_reason="stop")], False),
        ([chunk(index=0, finish_reason="stop"), chunk(index=1), b"data: [DONE]\n\n"], False),
        ([b"data: [DONE]\n\n"], False),
    ],
    ids=["done", "cut off", "unfinished choice", "empty"],
)
async def test_n_ignored_by_the_provider(chunks: list[bytes], whole: bool) -> None:
    """A stream of fewer choices than `n` is complete when all that began have ended."""

    def ignore_n(_: Any) -> web.Response:
        body = chunk(index=0, delta={"content": "hi"}) + b"".join(chunks)
        return web.Response(body=body, content_type="text/event-stream")

    async with upstream(ignore_n) as url, gateway_before(url) as harness:
        for _ in range(4):
            answer = await harness.send(n=2, stream=True)
            assert not whole or answer.text == "hi"
        assert (answer.done == 1) is whole
        assert harness.router.available("first") is whole


async def test_half_a_surrogate_pair_in_a_model() -> None:
    """A model's name that no URL, database or log can hold is a 400, for every kind of provider."""
    body = b'{"model":"m-\\ud800","messages":[{"role":"user","content":"x"}]}'
    gemini = Gemini("first", base_url="http://127.0.0.1:9", api_key=SECRET)
    for own in ({}, {"call": gemini.call, "stream": gemini.stream}):
        async with running_gateway(providers={"first": own}) as harness:
            for _ in range(4):
                answer = await harness.post("/v1/chat/completions", body)
                assert answer.status == 400, answer.data
                assert "UnicodeEncodeError(" not in answer.json["error"]["message"]
            assert harness.router.available("first")
            async with harness.http.get(f"{harness.url}/metrics") as response:
                assert response.status == 200
