"""Doors whose requests pass through as they are: embeddings, completions, responses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Route
from multirouter.gateway.app import Gateway
from multirouter.gateway.server import Server
from multirouter.providers import Anthropic, OpenAI
from tests.gateway.kit import Lines, Place, standing

pytestmark = [pytest.mark.backends("asyncio")]

DELTA = {"type": "response.output_text.delta", "delta": "hi"}
COMPLETED = {"type": "response.completed", "response": {"usage": {"total_tokens": 3}}}
FAILED = {"type": "response.failed", "response": {"error": {"message": "broke"}}}


def sse(*events: Any, names: bool = True) -> bytes:
    lines = [
        (f"event: {event['type']}\n" if names else "") + f"data: {json.dumps(event)}\n\n"
        for event in events
    ]
    return "".join(lines).encode()


@asynccontextmanager
async def upstream(**answers: Any) -> AsyncIterator[str]:
    """A service that answers each path with JSON or with events."""

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
async def passing(*urls: str) -> AsyncIterator[Place]:
    """A gateway in front of an Anthropic provider, and of these services in order."""
    registry = CollectorRegistry()
    chain = [Anthropic("claude", base_url="http://127.0.0.1:9", api_key="sk-12345678")]
    chain += [
        OpenAI(f"up{place}", base_url=url, api_key="sk-12345678") for place, url in enumerate(urls)
    ]
    names = [provider.name for provider in chain]
    async with MultiProviderRouter(
        chain, routes=[Route("main", names)], registry=registry
    ) as router:
        gateway = Gateway(router, models={"*": "main"}, registry=registry)
        async with Server(gateway) as server, aiohttp.ClientSession() as http:
            yield Place(server.url, gateway, server, router, [], http, Lines(), registry)


async def test_embeddings_go_to_who_has_them() -> None:
    """Another format is left out, a 404 leads on, and the answer comes as it is."""
    vectors = {"object": "list", "data": [{"index": 0, "embedding": "AAAA"}], "model": "e"}
    async with (
        upstream() as without,
        upstream(embeddings=vectors) as having,
        passing(without, having) as place,
    ):
        answer = await place.ask(path="/v1/embeddings", input=[[1, 2]], encoding_format="base64")
    assert answer.json == vectors
    assert [(e["provider"], e["verdict"]) for e in answer.trail] == [
        ("up0", "not_found"),
        ("up1", "success"),
    ]


async def test_nobody_has_it() -> None:
    """A model none of whose providers can have the path is a 404 that says so."""
    async with passing() as place:
        answer = await place.ask(path="/v1/responses", input="x")
    assert (answer.status, answer.json["error"]["code"]) == (404, "path_not_found")


async def test_responses_stream_as_they_are() -> None:
    """The events of a response come with their names, and end at the last of them."""
    events = sse(DELTA, COMPLETED)
    async with upstream(responses=events) as url, passing(url) as place:
        answer = await place.ask(path="/v1/responses", input="x", stream=True)
    assert answer.data == events
    assert answer.headers["X-Provider"] == "up0"


@pytest.mark.parametrize("first", [sse(FAILED), sse(DELTA)[:20], b"data: {\n\n"])
async def test_a_stream_that_fails_before_content_fails_over(first: bytes) -> None:
    """A failure, a cut or rubbish before any content leads on to the next service."""
    events = sse(DELTA, COMPLETED)
    async with (
        upstream(responses=first) as ill,
        upstream(responses=events) as well,
        passing(ill, well) as place,
    ):
        answer = await place.ask(path="/v1/responses", input="x", stream=True)
    assert answer.data == events
    assert answer.headers["X-Provider"] == "up1"


async def test_a_stream_that_breaks_later_is_told() -> None:
    """A response without its last event is no whole one: an error event, and no clean end."""
    async with upstream(responses=sse(DELTA)) as url, passing(url) as place:
        answer = await place.ask(path="/v1/responses", input="x", stream=True)
    assert answer.broken
    assert answer.events[-1]["error"]["code"] == "stream_interrupted"


async def test_numbers_that_json_has_not_go_no_further() -> None:
    """NaN and Infinity become null, as in whole answers; text that says NaN stays as it is."""
    events = b'data: {"delta":"NaN","v":[NaN,-Infinity]}\n\ndata: NaN {\n\n' + sse(COMPLETED)
    async with upstream(responses=events) as url, passing(url) as place:
        answer = await place.ask(path="/v1/responses", input="x", stream=True)
    assert answer.data.startswith(b'data: {"delta":"NaN","v":[null,null]}\n\n')


async def test_completions_stream_as_they_are() -> None:
    """Old completions end with their `[DONE]`."""
    chunk = {"choices": [{"text": "hi", "finish_reason": None}]}
    events = sse(chunk, names=False) + b"data: [DONE]\n\n"
    async with upstream(completions=events) as url, passing(url) as place:
        answer = await place.ask(path="/v1/completions", prompt="x", stream=True)
    assert answer.data == events
    assert answer.done == 1


async def test_providers_that_come_and_go() -> None:
    """The doors follow the router's providers."""
    async with standing([], []) as place:
        assert (await place.ask(path="/v1/embeddings", input="x")).headers["X-Provider"] == "first"
        place.router.update("first", weight=2)
        place.router.hold("first", "open")
        assert (await place.ask(path="/v1/embeddings", input="x")).headers["X-Provider"] == "first"
