"""HTTP server of a gateway: sockets, connections, and a shutdown that drains."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.web_protocol import RequestHandler

from multirouter.gateway.app import Gateway
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.http.wire_format import OPENAI

if TYPE_CHECKING:
    from typing import Self

READINESS_LEAD = 1.0
"""Seconds of a drain in which `/readyz` fails and requests are still accepted."""

BACKLOG = 1024

_MIN_TIMEOUT = 0.01
"""Seconds; aiohttp takes 0 for no limit."""

_ERROR_EVENT_TIMEOUT = 0.25
"""Seconds in which a cancelled stream can send its error event to a client that reads."""


class Server:
    """Serves a gateway on a port: `async with Server(gateway) as server: server.url`.

    Args:
        gateway: the gateway.
        host: address or host name to listen on.
        port: port to listen on; 0 takes a free one.
        reuse_port: whether other processes listen on the same port (SO_REUSEPORT).
        drain: seconds that requests under way get when it closes.

    Raises:
        OSError: when it starts and the port is in use.
    """

    def __init__(
        self,
        gateway: Gateway,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        reuse_port: bool = False,
        drain: float = 30.0,
    ) -> None:
        self._gateway = gateway
        self._host = host
        self._port = port
        self._reuse_port = reuse_port
        self._drain = drain
        self._runner: web.ServerRunner | None = None
        self._site: web.SockSite | None = None

    async def start(self) -> None:
        """Starts to listen."""
        limits = self._gateway.limits
        self._runner = web.ServerRunner(
            _HTTPServer(
                self._gateway.handle,
                self._gateway,
                handler_cancellation=True,
                access_log=None,
                keepalive_timeout=limits.keepalive_timeout,
                max_line_size=limits.max_header_size,
                max_field_size=limits.max_header_size,
                lingering_time=1.0,
                auto_decompress=False,  # see `http.request_body`
            ),
            shutdown_timeout=self._drain,
        )
        await self._runner.setup()
        listener = bind(self._host, self._port, reuse_port=self._reuse_port)
        self._site = web.SockSite(self._runner, listener, backlog=BACKLOG)
        await self._site.start()

    async def drain(self, *, lead: float = READINESS_LEAD) -> None:
        """Stops: `/readyz` fails, then no request is accepted, then requests under way finish.

        Args:
            lead: seconds between the first two steps, for load balancers to notice.
        """
        self._gateway.draining = True
        if lead:
            await asyncio.sleep(lead)
        await self.aclose()

    async def aclose(self) -> None:
        """Accepts no more requests, and gives those under way `drain` seconds."""
        self._gateway.draining = True  # streams of the console end
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        """Its URL, without a slash at the end; OpenAI's base URL is this and `/v1`."""
        if self._runner is None:
            return ""
        host, port = self._runner.addresses[0][:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def bind(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A bound socket.

    Args:
        host: an address or a host name.
        port: 0 takes a free one.
        reuse_port: whether other processes may listen there too.

    Raises:
        OSError: when it cannot be bound.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


class _HTTPServer(web.Server):
    """aiohttp's server, with limits on bodies and connections."""

    def __init__(self, handler: Callable[..., Any], gateway: Gateway, **settings: Any) -> None:
        super().__init__(handler, request_factory=self._request, **settings)
        self._gateway = gateway
        self._max_connections = gateway.limits.connections()

    def __call__(self) -> RequestHandler:
        """The handler of a new connection."""
        return _Connection(self, loop=self._loop, **self._kwargs)

    @property
    def write_timeout(self) -> float:
        """See `ServerLimits`."""
        return self._gateway.limits.write_timeout

    @property
    def max_header_size(self) -> int:
        """See `ServerLimits`."""
        return self._gateway.limits.max_header_size

    def enforce_limit(self, new: _Connection) -> None:
        """Closes a connection beyond the limit: the one that is idle for longest, else the new one.

        So connections that only wait keep no client out.
        """
        if self._max_connections < len(self.connections):
            own = (one for one in self.connections if isinstance(one, _Connection))
            idle = (one for one in own if one is not new and not one.busy)  # the oldest first
            next(idle, new).force_close()

    def cancel_streams(self) -> None:
        """Cancels the streams under way, once."""
        if not self._gateway.active_streams.cancelled:
            self._gateway.active_streams.cancel_all()

    def _request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        protocol.busy = True
        size = self._gateway.limits.max_body_size
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=size
        )


class _Connection(RequestHandler):
    """aiohttp's connection, with protocol errors as JSON and a bounded shutdown."""

    __slots__ = ("_http_server", "_unread", "_write_timer", "busy")

    def __init__(self, server: _HTTPServer, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._http_server = server
        self.busy: bool = False
        self._unread = 0
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Enforces the limit of connections."""
        super().connection_made(transport)
        self._http_server.enforce_limit(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forgets the timer; see `pause_writing`."""
        self._stop_write_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client is slow: what it has not read exceeds the buffer of the connection.

        When it reads nothing for `write_timeout` seconds, it is disconnected. So it holds no
        memory and no place at a provider.
        """
        super().pause_writing()
        self._start_write_timer()

    def resume_writing(self) -> None:
        """The client has read most of the buffer."""
        self._stop_write_timer()
        super().resume_writing()

    async def _drain_helper(self) -> None:
        """Waits until the client has read; a task that is cancelled meanwhile cancels no other.

        aiohttp's own has all tasks of a connection wait for one future, and from 3.14 on without a
        shield: the end of a comment or of a ping would cancel the answer that waits with it.
        """
        if self.transport is None or not self._paused:
            await super()._drain_helper()
            return
        if self._drain_waiter is None:
            self._drain_waiter = self._loop.create_future()
        await asyncio.shield(self._drain_waiter)

    def _start_write_timer(self) -> None:
        transport = self.transport
        if transport is not None:
            self._unread = transport.get_write_buffer_size()
            seconds = self._http_server.write_timeout
            self._write_timer = self._loop.call_later(seconds, self._check_progress)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _check_progress(self) -> None:
        transport = self.transport
        if transport is not None:
            if transport.get_write_buffer_size() < self._unread:
                self._start_write_timer()
            else:
                transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to bytes that are not a valid HTTP request."""
        if status >= 500 and not isinstance(exc, ConnectionError):
            super().log_exception("the request could not be answered", exc_info=exc)
        error = _protocol_error(status, exc, self._http_server.max_header_size)
        body, headers = OPENAI.error_body(error, ""), {"Server": "multirouter"}
        response = web.json_response(body, status=error.status, headers=headers)
        response.force_close()
        return response

    async def finish_response(
        self,
        request: web.BaseRequest,
        resp: web.StreamResponse,
        start_time: float | None,
    ) -> tuple[web.StreamResponse, bool]:
        """Sends the answer; aiohttp keeps what this returns until the connection's next request."""
        _, reset = await super().finish_response(request, resp, start_time)
        self.busy = False
        return (_KEPT_ALIVE if resp.keep_alive else _CLOSED), reset

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Waits `timeout` seconds for requests under way, then cancels them.

        aiohttp's own waits twice that long before it cancels.
        """
        try:
            async with asyncio.timeout(None if timeout is None else timeout + _MIN_TIMEOUT):
                await super().shutdown(timeout)
        except TimeoutError:
            self._http_server.cancel_streams()
            await super().shutdown(_ERROR_EVENT_TIMEOUT)

    def log_exception(self, *args: Any, **settings: Any) -> None:
        """Leaves out incomplete bodies: they are answered with 400 and in the access log."""
        if not isinstance(settings.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **settings)


def _protocol_error(status: int, exc: BaseException | None, max_size: int) -> HTTPError:
    """The error for bytes that are not a valid HTTP request, without what they were.

    Args:
        status: aiohttp's own.
        exc: what its parser raised, if it did.
        max_size: bytes that the request line, or a header, may have.
    """
    if status >= 500:
        return HTTPError(status, "malformed HTTP request", code="internal_error")
    if isinstance(exc, LineTooLong):
        message = f"the request line and each header must have at most {max_size} bytes"
        return HTTPError(431, message, code="headers_too_large")
    said = exc.message if isinstance(exc, BadHttpMessage) else ""
    reason = " ".join(_SENT.split(said)[0].split()).rstrip(":.")
    message = f"malformed HTTP request: {reason}" if reason else "malformed HTTP request"
    return HTTPError(status, message, code="bad_request")


_SENT = re.compile(r"\n\n|:? (?:b|bytearray\(b)?['\"]")
"""Where a message of aiohttp goes on with what was sent."""


def _without_body(*, keep_alive: bool) -> web.StreamResponse:
    response = web.StreamResponse()
    if not keep_alive:
        response.force_close()
    else:
        response._keep_alive = True  # noqa: SLF001 - what `prepare` sets
    return response


_KEPT_ALIVE = _without_body(keep_alive=True)
_CLOSED = _without_body(keep_alive=False)
