"""`n: "x"` in a request does not break the stream; it used to fail at the last chunk."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter
from multirouter.providers import Gemini, OpenAI, chat

KEY = "sk-sham-1234567890"
BODIES = {
    OpenAI: b'{"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}',
    Gemini: b'{"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}]}',
}


@pytest.mark.backends("asyncio")
@pytest.mark.parametrize("number", ["x", [2], {}, -1, 0, None])
@pytest.mark.parametrize("make", [OpenAI, Gemini])
async def test_an_invalid_number_of_choices_counts_as_one(make: Any, number: Any) -> None:
    """What a provider answers in spite of it is read as one choice."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=b"data: %s\n\n" % BODIES[make], content_type="text/event-stream")

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
    text = [choice["delta"].get("content") or "" for c in chunks for choice in c["choices"]]
    assert "".join(text) == "hi"


def _port(runner: web.ServerRunner) -> int:
    port: int = runner.addresses[0][1]
    return port
