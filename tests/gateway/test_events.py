"""Events to a client: what keeps a stream alive, and what happens when nobody reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest
from aiohttp import web
from multidict import CIMultiDict

from multirouter.gateway.http.error_bodies import OPENAI
from multirouter.gateway.streams.sse_response import Events

pytestmark = [pytest.mark.backends("asyncio")]

Work = Callable[[Events], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(work: Work) -> AsyncIterator[str]:
    """A server whose answers are written by `work`, kept alive every second."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        events = Events(request, CIMultiDict, 1.0, OPENAI)
        try:
            return await work(events)
        finally:
            events.stop()

    runner = web.ServerRunner(web.Server(answer, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_comments_fill_silence_alone() -> None:
    """While events come more often than comments are due there are none; in a pause there are."""

    async def work(events: Events) -> web.StreamResponse:
        for pause in (0.6, 0.6, 2.5):
            await events.send(b"data: 1\n\n")
            await anyio.sleep(pause)
        return await events.end()

    async with answering(work) as url, aiohttp.ClientSession() as http, http.get(url) as response:
        data = await response.read()
    assert data == b"data: 1\n\n" * 3 + b": waiting\n\n" * 2


async def test_an_answer_without_events() -> None:
    """A stream that has nothing to say ends like any other."""
    async with (
        answering(lambda events: events.end()) as url,
        aiohttp.ClientSession() as http,
        http.get(url) as response,
    ):
        assert response.headers["Content-Type"] == "text/event-stream"
        assert await response.read() == b""


async def test_nobody_reads_the_comments() -> None:
    """Comments to a client that left end by themselves, and nothing is told of it."""
    left: list[int] = []

    async def work(events: Events) -> web.StreamResponse:
        assert events.response is None
        try:
            await events.send(b"data: 1\n\n")
            assert events.response is not None
            request = events.response._req
            assert request is not None
            assert request.transport is not None
            request.transport.abort()
            await anyio.sleep(5)
        finally:
            left.append(len(asyncio.all_tasks()))
        raise AssertionError("who left is not answered")

    async with answering(work) as url, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientError):
            async with http.get(url) as response:
                await response.read()
        await anyio.sleep(6)
    assert left
