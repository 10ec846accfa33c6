"""Endpoint `GET /v1/responses` with `Upgrade: websocket`: OpenAI's Responses over a WebSocket.

Each message `response.create` is a request of its own, with the key of the handshake: the same
checks, limits, routing, log and metrics as `POST /v1/responses`. The events are those of its
stream, a text message each. Messages with the same `stream_id`, or without one, are answered one
after the other, those with different ones at the same time; the events name it.

Source: OpenAI's guide "WebSocket mode", `ResponseCreate` of `beta_responses_client_event.py` in
its SDK, and `responses_websocket.rs` of Codex.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol, cast

from aiohttp import WSCloseCode, WSMsgType, web

from multirouter.gateway.endpoints.model_requests import ModelRequests
from multirouter.gateway.endpoints.stored_responses import StoredResponses
from multirouter.gateway.http.endpoint_table import Handler
from multirouter.gateway.http.event_socket import EventSocket
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.http.server_limits import ServerLimits
from multirouter.gateway.sockets.lanes import Lanes
from multirouter.gateway.sockets.messages import Conversations, Message

MAX_IDLE = 3600.0
"""Seconds without a message after which a connection is closed; OpenAI closes any after as many."""

MAX_MESSAGES = 64
"""Messages of one connection that are answered or wait for their turn."""

_CHECK_INTERVAL = 1.0
"""Seconds between two looks at whether the gateway is shutting down."""

_ENDS = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})

_WHY: Mapping[int, bytes] = {WSCloseCode.UNSUPPORTED_DATA: b"must be text"}


class Host(Protocol):
    """The gateway, as far as a connection needs it.

    Attributes:
        limits: limits of the server.
        draining: whether it is about to stop.
        in_flight: requests under way.
    """

    limits: ServerLimits
    draining: bool
    in_flight: int

    async def handle(
        self,
        request: web.BaseRequest,
        handler: Handler | None = None,
        socket: EventSocket | None = None,
    ) -> web.StreamResponse:
        """See `Gateway.handle`."""
        ...


class _Transport(Protocol):
    """The server's side of a connection; one that is not busy may be closed for a new one."""

    busy: bool


class ResponseSockets:
    """Accepts connections, and answers their messages.

    Args:
        host: the gateway.
        requests: authenticates and parses the messages.
        stored: keeps responses.

    Attributes:
        host: the gateway.
    """

    def __init__(self, host: Host, requests: ModelRequests, stored: StoredResponses) -> None:
        self.host: Host = host
        self._requests = requests
        self._stored = stored
        self.connect: Handler = requests.authenticated(self._connect)

    def new_message(self, size: int, conversations: Conversations) -> Message:
        """A message of a connection, to be parsed.

        Args:
            size: its bytes.
            conversations: those of the connection.
        """
        return Message(size, self.host.limits.comment_interval, self._stored, conversations)

    async def answer(
        self, request: web.BaseRequest, connection: web.WebSocketResponse, message: Message
    ) -> None:
        """Answers a message that was parsed.

        Args:
            request: the handshake of the connection.
            connection: the connection.
            message: the message.
        """
        handler = self._requests.handler(
            message.answer, message.read, expand=message.expand, read_body=message.read_body
        )
        socket = EventSocket(connection, self.host.limits.comment_interval, message.lane)
        try:
            with suppress(ConnectionError):  # the client is gone; the connection notices
                await self.host.handle(request, handler, socket)
            message.keep()
        finally:
            socket.stop_comments()

    async def _connect(self, exchange: Exchange) -> web.StreamResponse:
        """Answers a handshake, and then the messages of the connection, until it ends.

        Raises:
            HTTPError: 405 without a handshake; 400 for an invalid one.
        """
        request = exchange.request
        if request.headers.get("Upgrade", "").lower() != "websocket":
            message = "GET is only allowed for a WebSocket; allowed: POST"
            raise HTTPError(405, message, code="method_not_allowed", allow=["POST"])
        connection = web.WebSocketResponse(
            autoclose=False,  # so that it is closed here, and not cancelled by the end
            max_msg_size=self.host.limits.max_body_size,
        )
        try:
            connection.headers.update(exchange.headers())
            await connection.prepare(request)
        except web.HTTPException as error:
            message = f"the handshake of the WebSocket is invalid: {error.text}"
            raise HTTPError(400, message, code="invalid_handshake") from None
        self.host.in_flight -= 1  # its messages are requests under way, and it is none itself
        try:
            code = await _Connection(self, request, connection).run()
        finally:
            self.host.in_flight += 1
        await connection.close(code=code, message=_WHY.get(code, b""))
        return connection


class _Connection:
    """Reads one connection all the time, and has its messages answered meanwhile.

    So pings are answered during a long response, and a client that leaves ends it.

    Args:
        sockets: answers the messages.
        request: the handshake.
        connection: the connection.
    """

    def __init__(
        self, sockets: ResponseSockets, request: web.BaseRequest, connection: web.WebSocketResponse
    ) -> None:
        self._sockets = sockets
        self._host = sockets.host
        self._request = request
        self._connection = connection
        self._transport = cast(_Transport, request.protocol)
        max_size = self._host.limits.max_body_size
        self._conversations = Conversations(max_size)
        self._lanes = Lanes(MAX_MESSAGES, max_size, self._set_busy)

    async def run(self) -> int:
        """Reads until the connection ends; returns the code with which it is to be closed."""
        self._set_busy(False)
        receiving = asyncio.create_task(self._connection.receive())
        idle = 0.0
        try:
            while self._lanes.busy or not (self._host.draining or idle >= MAX_IDLE):
                await asyncio.wait({receiving}, timeout=_CHECK_INTERVAL)
                if not receiving.done():
                    idle = 0.0 if self._lanes.busy else idle + _CHECK_INTERVAL
                    continue
                received = receiving.result()
                if received.type is not WSMsgType.TEXT:
                    return (
                        WSCloseCode.OK if received.type in _ENDS else WSCloseCode.UNSUPPORTED_DATA
                    )
                idle = 0.0
                await self._add(received.data.encode())
                receiving = asyncio.create_task(self._connection.receive())
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
            await self._lanes.cancel()
        return WSCloseCode.GOING_AWAY

    async def _add(self, text: bytes) -> None:
        """Has a message answered in its turn, with an error if too many are waiting.

        Beyond twice as many, nothing is read until one has been answered.
        """
        message, size = self._sockets.new_message(len(text), self._conversations), len(text)
        await message.parse(text)
        if not self._lanes.admits(size):
            said = (
                f"a connection must have at most {MAX_MESSAGES} messages that are not answered "
                f"yet, and {self._host.limits.max_body_size} bytes of them"
            )
            message.reject(HTTPError(429, said, code="rate_limit_exceeded", retry_after=1.0))
            size = 0  # its text is not kept
        self._lanes.add(message.lane, size, lambda: self._answer(message))
        await self._lanes.wait_for_an_end(2 * MAX_MESSAGES)

    async def _answer(self, message: Message) -> None:
        """Answers a message, unless the gateway stops: its client then sends it elsewhere."""
        if not self._host.draining:
            await self._sockets.answer(self._request, self._connection, message)

    def _set_busy(self, busy: bool) -> None:  # noqa: FBT001 - a callback
        self._transport.busy = busy
