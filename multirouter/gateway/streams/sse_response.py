"""Streamed HTTP response, kept alive by comments while no data comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web
from multidict import CIMultiDict

from multirouter.gateway.http.wire_format import WireFormat


class EventStreamResponse:
    """Writes a stream of events to one client.

    The response starts with the first event, so that a failure before it still has its own HTTP
    status; or with the first comment, when no data has come for `comment_interval` seconds.

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
        await response.write(data)
        return response

    async def end(self) -> web.StreamResponse:
        """Ends a complete stream."""
        response = self.response or await self._start()
        self.stop_comments()
        await response.write_eof()
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
                await response.prepare(self._request)
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
