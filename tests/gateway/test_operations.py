"""Endpoints of other operations than chat: embeddings, completions, responses and more."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Route
from multirouter.gateway.app import Gateway
from multirouter.gateway.server import Server
from multirouter.providers import Anthropic, Gemini, OpenAI
from tests.gateway.harness import Harness, RecordingLogger, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]

DELTA = {"choices": [{"text": "hi", "finish_reason": None}]}
COMPLETED = {"choices": [{"text": "", "finish_reason": "stop"}], "usage": {"total_tokens": 3}}
FAILED = {"error": {"message": "broke"}}
DONE = b"data: [DONE]\n\n"


def sse(*events: Any) -> bytes:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()


@asynccontextmanager
async def upstream(**answers: Any) -> AsyncIterator[str]:
    """An upstream that answers each path with JSON or with events."""

    async def serve(request: web.Request) -> web.Response:
        await request.read()
        answer = answers.get(request.match_info["path"])
        if answer is None:
            return web.json_response({"error": {"message": "no such path"}}, status=404)
        if isinstance(answer, bytes):
            return web.Response(body=answer, content_type="text/event-stream")
        return web.json_response(answer)

    app = web.Application()
    app.router.add_post("/v1/{path}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/v1"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def gateway_for(*urls: str) -> AsyncIterator[Harness]:
    """A gateway in front of an Anthropic provider and of OpenAI providers at these URLs."""
    registry = CollectorRegistry()
    chain = [Anthropic("claude", base_url="http://127.0.0.1:9", api_key="sk-12345678")]
    chain += [
        OpenAI(f"up{number}", base_url=url, api_key="sk-12345678")
        for number, url in enumerate(urls)
    ]
    names = [provider.name for provider in chain]
    async with MultiProviderRouter(
        chain, routes=[Route("main", names)], registry=registry
    ) as router:
        gateway = Gateway(router, models={"*": "main"}, registry=registry)
        with closing(gateway):
            async with Server(gateway) as server, aiohttp.ClientSession() as http:
                yield Harness(
                    server.url, gateway, server, router, [], http, RecordingLogger(), registry
                )


async def test_embeddings_skip_providers_without_the_path() -> None:
    """Other formats are skipped, a 404 fails over, and the answer is unchanged."""
    vectors = {"object": "list", "data": [{"index": 0, "embedding": "AAAA"}], "model": "e"}
    async with (
        upstream() as without,
        upstream(embeddings=vectors) as supporting,
        gateway_for(without, supporting) as harness,
    ):
        answer = await harness.send(path="/v1/embeddings", input=[[1, 2]], encoding_format="base64")
    assert answer.json == vectors
    assert [(e["provider"], e["verdict"]) for e in answer.trail] == [
        ("up0", "not_found"),
        ("up1", "success"),
    ]


async def test_no_provider_supports_the_path() -> None:
    """A model without a provider that supports the path is a 404."""
    async with gateway_for() as harness:
        answer = await harness.send(path="/v1/embeddings", input="x")
    assert (answer.status, answer.json["error"]["code"]) == (404, "path_not_found")


@pytest.mark.parametrize("first", [sse(FAILED), sse(DELTA)[:20], b"data: {\n\n"])
async def test_failure_before_content_fails_over(first: bytes) -> None:
    """A failure, a cut or invalid JSON before any content: failover."""
    events = sse(DELTA, COMPLETED) + DONE
    async with (
        upstream(completions=first) as failing,
        upstream(completions=events) as healthy,
        gateway_for(failing, healthy) as harness,
    ):
        answer = await harness.send(path="/v1/completions", prompt="x", stream=True)
    assert answer.data == events
    assert answer.headers["X-Provider"] == "up1"


async def test_failure_after_content_ends_with_an_error() -> None:
    """A stream without its last event ends with an error event and a dropped connection."""
    async with upstream(completions=sse(DELTA)) as url, gateway_for(url) as harness:
        answer = await harness.send(path="/v1/completions", prompt="x", stream=True)
    assert answer.broken
    assert answer.events[-1]["error"]["code"] == "stream_interrupted"


async def test_nan_and_infinity_become_null() -> None:
    """NaN and Infinity become null, as in whole answers; the string "NaN" is unchanged."""
    events = b'data: {"delta":"NaN","v":[NaN,-Infinity]}\n\ndata: NaN {\n\n' + sse(COMPLETED)
    async with upstream(completions=events) as url, gateway_for(url) as harness:
        answer = await harness.send(path="/v1/completions", prompt="x", stream=True)
    assert answer.data.startswith(b'data: {"delta":"NaN","v":[null,null]}\n\n')


async def test_completions_stream_is_unchanged() -> None:
    """Legacy completions are passed on with their names and their `[DONE]`."""
    events = b"event: chunk\n" + sse(DELTA) + DONE
    async with upstream(completions=events) as url, gateway_for(url) as harness:
        answer = await harness.send(path="/v1/completions", prompt="x", stream=True)
    assert answer.data == events
    assert answer.done == 1


async def test_model_of_the_provider_cannot_be_changed() -> None:
    """A provider with a model of its own gets that model, whatever a request names."""
    async with running_gateway([]) as harness:
        fixed = OpenAI(
            "fixed", base_url=f"{harness.fakes[0].url}/v1", api_key="k" * 12, model="own"
        )
        harness.router.reconfigure([fixed], [Route("main", ["fixed"])])
        for model in ("other", "fixed/other"):
            await harness.send(path="/v1/embeddings", input="x", model=model)
        sent = [request.body["model"] for request in harness.fakes[0].requests]
    assert sent == ["own", "own"]


async def test_gemini_embeddings() -> None:
    """Gemini serves embeddings too, with the model that the request names."""
    seen = []

    async def serve(request: web.Request) -> web.Response:
        seen.append(request.path)
        await request.read()
        return web.json_response({"embeddings": [{"values": [1.0]}]})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with gateway_for() as harness:
            host, port = runner.addresses[0][:2]
            gemini = Gemini("g", base_url=f"http://{host}:{port}", api_key="k" * 12)
            harness.router.reconfigure([gemini], [Route("main", ["g"])])
            answer = await harness.send(path="/v1/embeddings", input="x", model="text-embedding")
    finally:
        await runner.cleanup()
    assert seen == ["/v1beta/models/text-embedding:batchEmbedContents"]
    assert answer.json["data"][0]["embedding"] == [1.0]
