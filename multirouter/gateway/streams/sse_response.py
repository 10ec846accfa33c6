"""A stream of server-sent events to a client, kept alive by comments while nothing comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web
from multidict import CIMultiDict

from multirouter.gateway.http.error_bodies import Shape


class Events:
    """Writes events to one client.

    The response begins with the first event, so that whatever fails before can still be told by
    a status; or with the first comment, when nothing has come for `keepalive` seconds.

    Args:
        request: whom to answer.
        headers: the response's headers, asked for when it begins.
        keepalive: seconds of silence before a comment; at least 0.001.
        shape: the door's format: its type, and what says nothing in it.

    Attributes:
        begun: whether the status has been sent.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        headers: Callable[[], CIMultiDict[str]],
        keepalive: float,
        shape: Shape,
    ) -> None:
        self.begun: bool = False
        self.response: web.StreamResponse | None = None
        self._request = request
        self._headers = headers
        self._keepalive = keepalive
        self._shape = shape
        self._loop = asyncio.get_running_loop()
        self._written = self._loop.time()
        self._opening = asyncio.Lock()
        self._beat: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(keepalive, self._tick)

    async def send(self, data: bytes) -> web.StreamResponse:
        """Writes whole events; waits while the client does not read.

        Raises:
            ConnectionError: the client has left.
        """
        response = self.response or await self._begin()
        self._written = self._loop.time()
        await response.write(data)
        return response

    async def end(self) -> web.StreamResponse:
        """Ends a stream that is whole."""
        response = self.response or await self._begin()
        self.stop()
        await response.write_eof()
        return response

    def stop(self) -> None:
        """No more comments."""
        self._timer.cancel()
        if self._beat is not None:
            self._beat.cancel()

    async def _begin(self) -> web.StreamResponse:
        async with self._opening:
            if self.response is None:
                self.begun = True
                headers = self._headers()
                headers["Content-Type"] = self._shape.content_type
                headers["Cache-Control"] = "no-cache"
                headers["X-Accel-Buffering"] = "no"
                response = web.StreamResponse(headers=headers)
                await response.prepare(self._request)
                self.response = response
        return self.response

    def _tick(self) -> None:
        """One timer, moved lazily: an event costs a clock read and no timer of its own."""
        silent = self._loop.time() - self._written
        if silent < self._keepalive - 1e-9:
            self._timer = self._loop.call_later(self._keepalive - silent, self._tick)
            return
        self._timer = self._loop.call_later(self._keepalive, self._tick)
        if self._beat is None or self._beat.done():
            self._beat = self._loop.create_task(self._comment())

    async def _comment(self) -> None:
        try:
            await self.send(self._shape.comment)
        except ConnectionError:
            self._timer.cancel()
