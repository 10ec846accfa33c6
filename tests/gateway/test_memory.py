"""No request body outlives its request: whatever the ending, nothing refers to it any more."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from multirouter.core.settings.policies import RetryPolicy
from multirouter.gateway.app import ServerLimits
from tests.gateway.harness import Harness, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]

SIZE = 400_000
TEXT = "A" * SIZE
MARGIN = 300_000
"""Bytes that sockets, log events and cycles without a body may take; less than one body."""

CHAT = "/v1/chat/completions"
GENERATE = "/v1beta/models/m:generateContent"
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def chat(model: str = "m", **more: Any) -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": TEXT}], "max_tokens": 3}
    return json.dumps({**body, **more}).encode()


def form(model: str) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    field = b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
    return head + TEXT.encode() + field + model.encode() + b"\r\n--b--\r\n"


def gemini(part: Any) -> bytes:
    return json.dumps({"contents": [{"parts": [{"text": TEXT}, part]}]}).encode()


ENDINGS: dict[str, tuple[str, bytes, int]] = {
    "invalid JSON": (CHAT, chat()[:-1], 400),
    "invalid field": (CHAT, chat(stream="x"), 400),
    "unknown model": (CHAT, chat("unknown"), 404),
    "unknown route": (CHAT, chat(route="x"), 400),
    "unknown path": ("/v1/x", chat(), 404),
    "too large": (CHAT, b" " * 600_000, 413),
    "form that is cut off": ("/v1/audio/transcriptions", form("m")[:-3], 400),
    "Gemini's format, rejected": (
        "/v1beta/models/m:generateContent",
        gemini({"inlineData": 5}),
        400,
    ),
    "Anthropic's format, rejected": ("/v1/messages", chat(tools=[1]), 400),
    "a provider's 400": (CHAT, chat("fail-400"), 400),
    "a provider's 503": (CHAT, chat("fail-503"), 503),
    "a provider's 503, form": ("/v1/audio/transcriptions", form("fail-503"), 503),
    "a provider's web page": (CHAT, chat("html-200"), 502),
    "timeout": (CHAT, chat("stall", timeout=1), 504),
    "timeout of a stream": (CHAT, chat("stall", timeout=1, stream=True), 504),
    "cut off": (CHAT, chat("cut-after-1"), 502),
    "stream that is cut off": (CHAT, chat("cut-after-1", stream=True), 200),
    "stream with an error": (CHAT, chat("event-error-1", stream=True), 200),
    "stream with invalid JSON": (CHAT, chat("broken-json-1", stream=True), 200),
    "stream that stalls": (CHAT, chat("stall-1", stream=True), 200),
    "disconnected": (CHAT, chat("stall"), 0),
    "disconnected stream": (CHAT, chat("stall-1", stream=True), 0),
    "answered": (CHAT, chat(), 200),
    "answered stream": (CHAT, chat(stream=True), 200),
    "answered, Anthropic's format": ("/v1/messages", chat(stream=True), 200),
    "answered, Gemini's format": (GENERATE, gemini({"text": "x"}), 200),
    "answered by a fallback model": (CHAT, chat("fail-503", fallback_models=["m"]), 200),
    "embeddings": ("/v1/embeddings", json.dumps({"model": "m", "input": TEXT}).encode(), 200),
    "form": ("/v1/audio/transcriptions", form("m"), 200),
}


@pytest.fixture
def _no_collector() -> Iterator[None]:
    """Without the garbage collector, so that cycles are not released either."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


async def sent(harness: Harness, path: str, data: bytes, *, abandoned: bool) -> int:
    """Sends a request and forgets what the fake provider received; the status, 0 for none.

    Args:
        harness: the gateway.
        path: the path.
        data: the body.
        abandoned: whether the client disconnects after two seconds.
    """
    headers = FORM if data.startswith(b"--b") else None
    status = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(2 if abandoned else 100):
            status = (await harness.post(path, data, headers)).status
    harness.fakes[0].requests.clear()
    await asyncio.sleep(0.1)
    return status


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("ending", ENDINGS)
async def test_bodies_are_released(ending: str) -> None:
    """Three requests of one ending leave no body in memory, reachable or in a cycle."""
    path, data, status = ENDINGS[ending]
    models = dict.fromkeys(("m", "*-*", "stall"), "main")
    limits = ServerLimits(max_body_size=500_000)
    retry = {"retry": RetryPolicy(attempts=2 if b"fallback" in data else 1)}
    async with running_gateway(models=models, limits=limits, route=retry) as harness:
        harness.router.hold("first", "closed")  # so that each request ends like the first one
        assert await sent(harness, path, data, abandoned=not status) == status
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(3):
            assert await sent(harness, path, data, abandoned=not status) == status
        grown = tracemalloc.get_traced_memory()[0] - before
    assert grown < MARGIN
