"""Puts a gateway on a port: sockets, connections, and the end that lets streams finish."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from multirouter.gateway.app import Gateway
from multirouter.gateway.http.error_bodies import OPENAI
from multirouter.gateway.http.error_responses import Refusal

if TYPE_CHECKING:
    from typing import Self

LEAD = 1.0
"""Seconds in which `/readyz` already fails and requests are still taken, when it drains."""

BACKLOG = 1024

_AT_ONCE = 0.01
"""Seconds; 0 would be no limit to aiohttp."""

_LAST_WORDS = 0.25
"""Seconds in which a stream that may not go on can say so to a client that reads."""


class Server:
    """A gateway on a port: `async with Server(gateway) as server: server.url`.

    Args:
        gateway: what is served.
        host: where to listen.
        port: where to listen; 0 takes a free one.
        shared: whether other processes listen on the same port (SO_REUSEPORT).
        drain: seconds that requests under way get when it closes.

    Raises:
        OSError: when the port is taken, once it starts.
    """

    def __init__(
        self,
        gateway: Gateway,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        shared: bool = False,
        drain: float = 30.0,
    ) -> None:
        self._gateway = gateway
        self._host = host
        self._port = port
        self._shared = shared
        self._drain = drain
        self._runner: web.ServerRunner | None = None
        self._site: web.SockSite | None = None

    async def start(self) -> None:
        """Listens."""
        bounds = self._gateway.bounds
        self._runner = web.ServerRunner(
            _Connections(
                self._gateway.handle,
                self._gateway,
                handler_cancellation=True,
                access_log=None,
                keepalive_timeout=bounds.idle,
                max_line_size=bounds.header,
                max_field_size=bounds.header,
                lingering_time=1.0,
            ),
            shutdown_timeout=self._drain,
        )
        await self._runner.setup()
        listener = listen(self._host, self._port, shared=self._shared)
        self._site = web.SockSite(self._runner, listener, backlog=BACKLOG)
        await self._site.start()

    async def drain(self, *, lead: float = LEAD) -> None:
        """Stops: first `/readyz` fails, then nobody new is taken, then what runs may finish.

        Args:
            lead: seconds between the first and the second, for balancers to notice.
        """
        self._gateway.draining = True
        if lead:
            await asyncio.sleep(lead)
        await self.aclose()

    async def aclose(self) -> None:
        """Takes nobody new, and gives what runs its `drain` seconds."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()
            await self._gateway.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        """Where it listens, without a last slash; OpenAI's base URL is this and `/v1`."""
        if self._runner is None:
            return ""
        host, port = self._runner.addresses[0][:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound socket.

    Args:
        host: an address or a name.
        port: 0 takes a free one.
        shared: whether other processes may listen there too.

    Raises:
        OSError: when it cannot be bound.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


class _Connections(web.Server):
    """aiohttp's server, with bounded bodies and connections."""

    def __init__(self, handler: Callable[..., Any], gateway: Gateway, **settings: Any) -> None:
        super().__init__(handler, request_factory=self._request, **settings)
        self._gateway = gateway

    def __call__(self) -> RequestHandler:
        """A new connection."""
        return _Connection(self, loop=self._loop, **self._kwargs)

    def full(self) -> bool:
        """Whether there are as many connections as may be."""
        return len(self.connections) > self._gateway.bounds.connections

    def last_call(self) -> None:
        """Ends the streams under way, once."""
        if not self._gateway.relays.over:
            self._gateway.relays.break_off()

    def _request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        size = self._gateway.bounds.body
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=size
        )


class _Connection(RequestHandler):
    """aiohttp's connection, which tells errors of HTTP itself as JSON, and no more than that."""

    __slots__ = ("_connections",)

    def __init__(self, server: _Connections, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._connections = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Closes what comes beyond the bound at once."""
        super().connection_made(transport)
        if self._connections.full():
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP request."""
        if status >= 500 and not isinstance(exc, ConnectionError):
            super().log_exception("no answer could be made", exc_info=exc)
        code = "bad_request" if status < 500 else "internal_error"
        refusal = Refusal(status, "this is no HTTP request that can be read", code=code)
        headers = {"Server": "multirouter"}
        response = web.json_response(OPENAI.body(refusal, ""), status=status, headers=headers)
        response.force_close()
        return response

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Gives what runs that many seconds; aiohttp's own gives them twice before it cancels."""
        try:
            async with asyncio.timeout(None if timeout is None else timeout + _AT_ONCE):
                await super().shutdown(timeout)
        except TimeoutError:
            self._connections.last_call()
            await super().shutdown(_LAST_WORDS)

    def log_exception(self, *args: Any, **settings: Any) -> None:
        """Leaves out a body that broke off: its client was told, and it is in the access log."""
        if not isinstance(settings.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **settings)
