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
async def serving(write: Write, *, cancels: bool = True) -> AsyncIterator[str]:
    """A server whose responses `write` writes, with comments every second.

    Args:
        write: writes a response.
        cancels: whether it is cancelled when its client leaves.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = EventStreamResponse(request, CIMultiDict, 1.0, OPENAI)
        try:
            return await write(response)
        finally:
            response.stop_comments()

    runner = web.ServerRunner(
        web.Server(answer, handler_cancellation=cancels), shutdown_timeout=0.1
    )
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


async def test_events_at_hand_are_written_together() -> None:
    """The first event is written at once, others when their stream waits, the last with the end."""

    async def events() -> AsyncIterator[bytes]:
        for number in range(6):
            yield b"%d" % number
            if number == 3:
                await anyio.sleep(0.1)

    async def write(response: EventStreamResponse) -> web.StreamResponse:
        async for data in response.read(events()):
            await response.add(data)
        return await response.end()

    async with serving(write) as url, aiohttp.ClientSession() as http, http.get(url) as answer:
        parts, part = [], b""
        async for data, ends in answer.content.iter_chunks():
            part += data
            if ends:
                parts.append(part)
                part = b""
    assert parts == [b"0", b"123", b"45"]


async def test_events_at_hand_wait_for_the_client() -> None:
    """A client that does not read stops a stream whose provider never lets it wait."""
    made = 0
    event = b"x" * 1000

    async def events() -> AsyncIterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield event

    async def write(response: EventStreamResponse) -> web.StreamResponse:
        async for data in response.read(events()):
            await response.add(data)
        return await response.end()

    async with serving(write) as url, aiohttp.ClientSession() as http, http.get(url):
        await anyio.sleep(1)
        before = made
        await anyio.sleep(1)
        assert 64 < before == made


async def test_error_of_a_stream_that_waits_is_raised() -> None:
    """What a stream raises, and a cancellation while it waits, pass as without `read`."""
    ended: list[str] = []

    async def events() -> AsyncIterator[bytes]:
        try:
            yield b"0"
            await anyio.sleep(0.1)
            yield b"1"
            await anyio.sleep(0.1)
            raise ValueError("broken")
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    async def write(response: EventStreamResponse) -> web.StreamResponse:
        with anyio.move_on_after(0.05):
            async for data in response.read(events()):
                await response.add(data)
        with pytest.raises(ValueError, match="broken"):
            async for data in response.read(events()):
                await response.add(data)
        return await response.end()

    async with serving(write) as url, aiohttp.ClientSession() as http, http.get(url) as answer:
        assert await answer.read() == b"001"
    assert ended == ["CancelledError", "ValueError"]


async def test_client_that_leaves_between_events_is_noticed() -> None:
    """Events that cannot be written while their stream waits raise at the next one."""
    added: list[bytes] = []

    async def events(response: EventStreamResponse) -> AsyncIterator[bytes]:
        yield b"0"
        transport = response._request.transport
        assert transport is not None
        transport.abort()
        yield b"1"
        await anyio.sleep(0.1)
        yield b"2"
        yield b"3"

    async def write(response: EventStreamResponse) -> web.StreamResponse:
        async for data in response.read(events(response)):
            added.append(data)
            await response.add(data)
        return await response.end()

    async with serving(write, cancels=False) as url, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientError):
            async with http.get(url) as answer:
                await answer.read()
        await anyio.sleep(1)
    assert added == [b"0", b"1", b"2"]
