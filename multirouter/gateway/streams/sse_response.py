"""Streamed HTTP response, kept alive by comments while no data comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http import StreamWriter
from multidict import CIMultiDict

from multirouter.gateway.http.wire_format import WireFormat
from multirouter.gateway.streams.before_waits import BeforeWaits

MAX_KEPT = 2**16
"""Bytes of events after which the client must have read before more are written."""


class EventStreamResponse:
    """Writes a stream of events to one client.

    The response starts with the first event, so that a failure before it still has its own HTTP
    status; or with the first comment, when no data has come for `comment_interval` seconds.

    Events that arrive together are written together: a write is a system call, which costs more
    than the events in it. `add` keeps events until the stream of `read` waits for its provider.

    Args:
        request: the request to answer.
        headers: returns the response's headers; called when the response starts.
        comment_interval: seconds without data before a comment; at least 0.001.
        wire_format: content type and comment of the stream.

    Attributes:
        started: whether the status has been sent.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        headers: Callable[[], CIMultiDict[str]],
        comment_interval: float,
        wire_format: WireFormat,
    ) -> None:
        self.started: bool = False
        self.response: web.StreamResponse | None = None
        self._writer: StreamWriter | None = None
        self._kept: list[bytes] = []
        self._since_drain = 0
        self._disconnected = False
        self._request = request
        self._headers = headers
        self._comment_interval = comment_interval
        self._wire_format = wire_format
        self._loop = asyncio.get_running_loop()
        self._written_at = self._loop.time()
        self._start_lock = asyncio.Lock()
        self._comment_task: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(comment_interval, self._tick)

    async def send(self, data: bytes) -> web.StreamResponse:
        """Writes whole events; waits while the client does not read.

        Raises:
            ConnectionError: the client has disconnected.
        """
        response = self.response or await self._start()
        self._written_at = self._loop.time()
        if self._kept:
            data = b"".join([*self._kept, data])
            self._kept = []
        await response.write(data)
        return response

    def read(self, stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Reads a stream; whenever it waits, the events that were added are written."""
        return BeforeWaits(stream, self._write_kept)

    async def add(self, data: bytes) -> None:
        """Adds whole events while a stream is read; waits while the client does not read.

        The first events are written at once.

        Raises:
            ConnectionError: the client has disconnected.
        """
        if self._writer is None or self._disconnected:
            await self.send(data)
            return
        self._kept.append(data)
        self._since_drain += len(data)
        if self._since_drain > MAX_KEPT:
            self._since_drain = 0
            await self.send(b"")
            await self._writer.drain()

    def _write_kept(self) -> None:
        """Writes the kept events, without a wait: the provider must not get the time of a client.

        A client that has disconnected is noticed by the next events.
        """
        if not self._kept or self._writer is None:
            return
        self._written_at = self._loop.time()
        data = self._kept[0] if len(self._kept) == 1 else b"".join(self._kept)
        writing = self._writer.write(data, drain=False)
        try:
            writing.send(None)
        except StopIteration:
            self._kept = []
        except ConnectionError:
            self._disconnected = True

    async def end(self) -> web.StreamResponse:
        """Ends a complete stream."""
        response = self.response or await self._start()
        self.stop_comments()
        await response.write_eof(b"".join(self._kept))
        return response

    async def break_off(self, events: bytes) -> web.StreamResponse:
        """Sends the last events and drops the connection before the body's last chunk.

        A client cannot take such a body for a complete one.
        """
        response = await self.send(events)
        if self._request.transport is not None:
            self._request.transport.close()
        return response

    def stop_comments(self) -> None:
        """Sends no more comments."""
        self._timer.cancel()
        if self._comment_task is not None:
            self._comment_task.cancel()

    async def _start(self) -> web.StreamResponse:
        async with self._start_lock:
            if self.response is None:
                self.started = True
                headers = self._headers()
                headers["Content-Type"] = self._wire_format.content_type
                headers["Cache-Control"] = "no-cache"
                headers["X-Accel-Buffering"] = "no"
                response = web.StreamResponse(headers=headers)
                writer = await response.prepare(self._request)
                self._writer = cast("StreamWriter | None", writer)
                self.response = response
        return self.response

    def _tick(self) -> None:
        """One timer, moved lazily: an event costs a clock read and no timer of its own."""
        silent = self._loop.time() - self._written_at
        if silent < self._comment_interval - 1e-9:
            self._timer = self._loop.call_later(self._comment_interval - silent, self._tick)
            return
        self._timer = self._loop.call_later(self._comment_interval, self._tick)
        if self._comment_task is None or self._comment_task.done():
            self._comment_task = self._loop.create_task(self._comment())

    async def _comment(self) -> None:
        try:
            await self.send(self._wire_format.comment)
        except ConnectionError:
            self._timer.cancel()
