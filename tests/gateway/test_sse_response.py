"""Event stream responses: keep-alive comments and disconnected clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest
from aiohttp import web
from multidict import CIMultiDict

from multirouter.gateway.http.wire_format import OPENAI
from multirouter.gateway.streams.sse_response import EventStreamResponse

pytestmark = [pytest.mark.backends("asyncio")]

Write = Callable[[EventStreamResponse], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(write: Write) -> AsyncIterator[str]:
    """A server whose responses `write` writes, with comments every second."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = EventStreamResponse(request, CIMultiDict, 1.0, OPENAI)
        try:
            return await write(response)
        finally:
            response.stop_comments()

    runner = web.ServerRunner(web.Server(answer, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_comments_are_sent_only_in_pauses() -> None:
    """No comments while events are frequent; comments during a pause."""

    async def write(response: EventStreamResponse) -> web.StreamResponse:
        for pause in (0.6, 0.6, 2.5):
            await response.send(b"data: 1\n\n")
            await anyio.sleep(pause)
        return await response.end()

    async with serving(write) as url, aiohttp.ClientSession() as http, http.get(url) as answer:
        data = await answer.read()
    assert data == b"data: 1\n\n" * 3 + b": waiting\n\n" * 2


async def test_stream_without_events() -> None:
    """A stream without events ends normally."""
    async with (
        serving(lambda response: response.end()) as url,
        aiohttp.ClientSession() as http,
        http.get(url) as response,
    ):
        assert response.headers["Content-Type"] == "text/event-stream"
        assert await response.read() == b""


async def test_comments_stop_when_the_client_disconnects() -> None:
    """Comments to a disconnected client end without an error."""
    tasks: list[int] = []

    async def write(response: EventStreamResponse) -> web.StreamResponse:
        assert response.response is None
        try:
            await response.send(b"data: 1\n\n")
            assert response.response is not None
            request = response.response._req
            assert request is not None
            assert request.transport is not None
            request.transport.abort()
            await anyio.sleep(5)
        finally:
            tasks.append(len(asyncio.all_tasks()))
        raise AssertionError("the handler is cancelled before")

    async with serving(write) as url, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientError):
            async with http.get(url) as response:
                await response.read()
        await anyio.sleep(6)
    assert tasks
