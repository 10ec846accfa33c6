"""One response over a WebSocket, with the interface of `EventStreamResponse`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiohttp import web

from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.http.wire_format import RESPONSES, error_headers
from multirouter.providers.json_bytes import dumps
from multirouter.providers.transport.sse import SSEParser


class EventSocket:
    """Sends each event of one response as a text message. The connection stays open behind it.

    Args:
        connection: the connection.
        ping_interval: seconds without data before a ping, which keeps it open.
        lane: the `stream_id` of the request, which its events name; None without one.

    Attributes:
        started: whether an event has been sent.
    """

    def __init__(
        self, connection: web.WebSocketResponse, ping_interval: float, lane: str | None = None
    ) -> None:
        self.started: bool = False
        self._connection = connection
        self._lane = b"" if lane is None else b'"stream_id":' + dumps(lane)
        self._parser = SSEParser()
        self._interval = ping_interval
        self._loop = asyncio.get_running_loop()
        self._written_at = self._loop.time()
        self._ping_task: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(ping_interval, self._tick)

    async def send(self, data: bytes) -> web.StreamResponse:
        """Sends whole events; waits while the client does not read.

        Raises:
            ConnectionError: the client has disconnected.
        """
        self.started = True
        self._written_at = self._loop.time()
        for event in self._parser.feed(data):
            await self._connection.send_str(self._named(event.data).decode())
        return web.Response()

    def read(self, stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Reads a stream; see `EventStreamResponse.read`."""
        return stream

    async def add(self, data: bytes) -> None:
        """Sends whole events; each is a message of its own."""
        await self.send(data)

    async def end(self) -> web.StreamResponse:
        """Ends a complete response; the connection goes on."""
        self.stop_comments()
        return web.Response()

    async def break_off(self, events: bytes) -> web.StreamResponse:
        """Ends a broken response with these events; the last of them says so."""
        return await self.send(events)

    async def fail(self, error: HTTPError, request_id: str) -> None:
        """Sends the error of a response that has not begun, with its status and retry advice.

        Source: Codex's `responses_websocket.rs`, which reads it as an HTTP error.
        """
        body = RESPONSES.error_body(error, request_id)
        status = {"status": error.status, "status_code": error.status}
        headers = {name.lower(): value for name, value in error_headers(error).items()}
        data = dumps({"type": "error", **status, **body, "headers": headers})
        with suppress(ConnectionError):
            await self._connection.send_str(self._named(data).decode())

    def stop_comments(self) -> None:
        """Sends no more pings."""
        self._timer.cancel()
        if self._ping_task is not None:
            self._ping_task.cancel()

    def _named(self, data: bytes) -> bytes:
        """An event with the lane as its last field, whatever else it has; no value is changed."""
        whole = data.strip()
        if not (self._lane and whole.startswith(b"{") and whole.endswith(b"}")):
            return data
        fields = whole[:-1].rstrip()
        separator = b"" if fields.endswith(b"{") else b","
        return fields + separator + self._lane + b"}"

    def _tick(self) -> None:
        silent = self._loop.time() - self._written_at
        due = self._interval - silent if silent < self._interval - 1e-9 else self._interval
        self._timer = self._loop.call_later(due, self._tick)
        if due == self._interval:
            self._ping_task = self._loop.create_task(self._ping())

    async def _ping(self) -> None:
        with suppress(ConnectionError):
            await self._connection.ping()
