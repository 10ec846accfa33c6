"""`n: "x"` broke every stream at its last chunk, and counted against whoever had sent it."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter
from multirouter.providers import Gemini, OpenAI, chat

KEY = "sk-sham-1234567890"
SAID = {
    OpenAI: b'{"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}',
    Gemini: b'{"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}]}',
}


@pytest.mark.backends("asyncio")
@pytest.mark.parametrize("number", ["x", [2], {}, -1, 0, None])
@pytest.mark.parametrize("make", [OpenAI, Gemini])
async def test_a_stream_with_a_strange_number_of_choices(make: Any, number: Any) -> None:
    """What a provider answers all the same is taken for one answer."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=b"data: %s\n\n" % SAID[make], content_type="text/event-stream")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider = make("p", model="m", api_key=KEY, base_url=f"http://127.0.0.1:{_port(runner)}")
        router = MultiProviderRouter[Any, Any, Any]([provider], registry=CollectorRegistry())
        async with router:
            chunks = [chunk async for chunk in router.stream({**chat("Hello"), "n": number})]
    finally:
        await runner.cleanup()
    said = [choice["delta"].get("content") or "" for c in chunks for choice in c["choices"]]
    assert "".join(said) == "hi"


def _port(runner: web.ServerRunner) -> int:
    port: int = runner.addresses[0][1]
    return port
