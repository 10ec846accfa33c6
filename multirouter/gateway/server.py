"""HTTP server of a gateway: sockets, connections, and a shutdown that drains."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web
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

    def __call__(self) -> RequestHandler:
        """The handler of a new connection."""
        return _Connection(self, loop=self._loop, **self._kwargs)

    def over_limit(self) -> bool:
        """Whether there are more connections than the limit."""
        return len(self.connections) > self._gateway.limits.max_connections

    def cancel_streams(self) -> None:
        """Cancels the streams under way, once."""
        if not self._gateway.active_streams.cancelled:
            self._gateway.active_streams.cancel_all()

    def _request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        size = self._gateway.limits.max_body_size
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=size
        )


class _Connection(RequestHandler):
    """aiohttp's connection, with protocol errors as JSON and a bounded shutdown."""

    __slots__ = ("_http_server",)

    def __init__(self, server: _HTTPServer, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._http_server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Closes a connection beyond the limit at once."""
        super().connection_made(transport)
        if self._http_server.over_limit():
            self.force_close()

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
        code = "bad_request" if status < 500 else "internal_error"
        error = HTTPError(status, "malformed HTTP request", code=code)
        headers = {"Server": "multirouter"}
        response = web.json_response(OPENAI.error_body(error, ""), status=status, headers=headers)
        response.force_close()
        return response

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
