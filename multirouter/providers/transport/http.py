"""HTTP connections of the adapters: pooled and bounded, with proxies, without redirects.

aiohttp is loaded when the first session is opened.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError, UsageError
from multirouter.providers.calls.names import ToolNames
from multirouter.providers.files.form_data import FormBody
from multirouter.providers.transport.connection_wait import ConnectionWait, trace_waits
from multirouter.providers.transport.proxies import checked_proxy, proxy_from_environment

if TYPE_CHECKING:
    import ssl

    import aiohttp


TRACE_HEADERS: ContextVar[Mapping[str, str] | None] = ContextVar("trace_headers", default=None)
"""Headers that link each request of the running attempt to its trace, such as `traceparent`; None
for none."""

CONNECTIONS = 65_536
"""Default limit of open connections: more than a process has ports toward one address. A call does
not wait for the connections of other calls; what bounds them is the limits of providers."""

_LARGE_BODY = 2**16
"""Bytes. A larger body is given to aiohttp as a file: it is sent in parts, and can be taken back
after a failure. aiohttp's errors refer to their request in cycles."""


class BodyTooLong(ValueError):
    """The body of a response is longer than `Http.max_body`."""


@dataclass(slots=True, repr=False, eq=False)
class PreparedRequest:
    """One request in a provider's wire format, ready to send.

    Attributes:
        url: the full address.
        headers: all headers, including the API key. `repr` does not show them.
        body: JSON in UTF-8, or a form.
        native: the names of tools in a client's own request, whose answer passes as it is; None for
            a translation.
    """

    url: str
    headers: dict[str, str]
    body: bytes | FormBody
    native: ToolNames | None = None

    def __repr__(self) -> str:
        return f"<request of {len(self.body)} bytes to {self.url}>"


class SigningFailed(Exception):
    """A request could not be signed, or there is no token for it.

    Attributes:
        transient: whether the service of the credentials was not reached.
    """

    def __init__(self, why: str, *, transient: bool = False) -> None:
        super().__init__(why)
        self.transient = transient


Signer = Callable[[PreparedRequest], Awaitable[None]]
"""Adds credentials to the headers of a request; raises SigningFailed."""


class Http:
    """A connection pool: one aiohttp session for each event loop, opened when first used.

    Each adapter has a pool of its own unless `http=` gives several adapters the same one. The last
    adapter that closes closes the pool. A pool that is used again after that opens again.

    Attributes:
        max_body: maximum bytes of a response body after decompression.

    Args:
        connections: maximum open connections, at least 1. A call that gets none within
            `connect_timeout` fails, which opens no circuit; an attempt whose own timeout is shorter
            has timed out.
        connect_timeout: seconds for DNS, TCP, TLS and waiting for a free connection together.
        read_timeout: seconds without data on an open connection; `math.inf` for no limit. This is
            only a backstop behind the router's own limits: a reasoning model may send nothing for
            minutes.
        keepalive: seconds an idle connection is kept open.
        dns_ttl: seconds a resolved address is cached.
        proxy: the proxy's http(s) URL. None reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
            `NO_PROXY` from the environment; "" uses no proxy.
        ssl: a TLS context instead of the default one (for a private certificate authority).
        read_buffer: bytes read ahead, at least 1024. When the consumer is slower than the provider,
            reading pauses once twice this many bytes are buffered.
        max_body: see above.
    """

    def __init__(
        self,
        *,
        connections: int = CONNECTIONS,
        connect_timeout: float = 10.0,
        read_timeout: float = 600.0,
        keepalive: float = 30.0,
        dns_ttl: float = 60.0,
        proxy: str | None = None,
        ssl: ssl.SSLContext | None = None,
        read_buffer: int = 2**16,
        max_body: int = 2**26,
    ) -> None:
        self._connections = check.count("Http.connections", connections)
        self._connect_timeout = check.duration("Http.connect_timeout", connect_timeout)
        self._read_timeout = check.duration("Http.read_timeout", read_timeout, allow_inf=True)
        self._keepalive = check.duration("Http.keepalive", keepalive)
        self._dns_ttl = check.duration("Http.dns_ttl", dns_ttl)
        self._read_buffer = check.count("Http.read_buffer", read_buffer, minimum=1024)
        self.max_body: int = check.count("Http.max_body", max_body)
        self._proxy = proxy if proxy is None else checked_proxy(proxy)
        self._ssl = ssl
        self._proxies: dict[str, str | None] = {}
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession]
        self._sessions = WeakKeyDictionary()
        self._users = 0

    def acquire(self) -> None:
        """Registers one more adapter that uses this pool."""
        self._users += 1

    async def release(self) -> None:
        """Removes one adapter; when it was the last, closes the sessions."""
        self._users -= 1
        if self._users <= 0:
            await self.aclose()

    async def aclose(self) -> None:
        """Closes the session of the running loop and the sessions of closed loops."""
        running = asyncio.get_running_loop()
        for loop in [loop for loop in self._sessions if loop is running or loop.is_closed()]:
            await self._sessions.pop(loop).close()

    async def session(self) -> aiohttp.ClientSession:
        """Returns the session of the running loop.

        Raises:
            UsageError: when no asyncio loop runs (on trio).
        """
        try:
            session = self._sessions.get(asyncio.get_running_loop())
        except RuntimeError:
            raise UsageError(
                "the adapters of multirouter.providers require asyncio, because aiohttp does"
            ) from None
        return session or await self._open()

    async def post(
        self,
        session: aiohttp.ClientSession,
        url: str,
        headers: dict[str, str],
        body: bytes | FormBody,
    ) -> aiohttp.ClientResponse:
        """Sends `body`. A redirect is returned like any response, so the key reaches no other host.

        Raises:
            aiohttp.ClientError: when no response came; also OSError and TimeoutError. ENOBUFS when
                all connections of the pool were in use.
        """
        data: Any = body
        if isinstance(body, FormBody):
            data = body.slices()
            headers = {
                **headers,
                "Content-Type": body.content_type,
                "Content-Length": str(len(body)),  # many services accept no chunked forms
            }
        elif len(body) >= _LARGE_BODY:
            data = BytesIO(body)
        target: Any = url
        if "%" in url:  # as it is: a signature covers the path in this very encoding
            from yarl import URL  # which aiohttp has loaded

            target = URL(url, encoded=True)
        trace_headers = TRACE_HEADERS.get()
        if trace_headers:
            headers = {**headers, **trace_headers}
        wait = None if self._connections >= CONNECTIONS else ConnectionWait()
        try:
            return await session.post(
                target,
                data=data,
                headers=headers,
                allow_redirects=False,
                proxy=self.proxy_for(url),
                trace_request_ctx=wait,
            )
        except BaseException as error:
            if isinstance(body, FormBody):
                body.release()
            elif data is not body:
                data.close()
            if wait is not None and wait.lasts and isinstance(error, TimeoutError):
                text = f"no connection became free: all {self._connections} are in use"
                raise OSError(errno.ENOBUFS, text) from error
            raise
        finally:
            del body, data

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """Returns the whole body.

        Raises:
            BodyTooLong: beyond `max_body` bytes.
            aiohttp.ClientError: when the connection breaks.
        """
        parts: list[bytes] = []
        size = 0
        while part := await response.content.readany():
            parts.append(part)
            size += len(part)
            if size > self.max_body:
                raise BodyTooLong(f"the response body exceeds {self.max_body} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _open(self) -> aiohttp.ClientSession:
        """Opens a session for the running loop, and closes the sessions of closed loops."""
        session = self._sessions[asyncio.get_running_loop()] = self._new_session()
        for loop in [loop for loop in self._sessions if loop.is_closed()]:
            await self._sessions.pop(loop).close()
        return session

    def _new_session(self) -> aiohttp.ClientSession:
        import aiohttp

        connector = aiohttp.TCPConnector(
            limit=self._connections,
            ttl_dns_cache=int(max(self._dns_ttl, 1)),
            keepalive_timeout=self._keepalive,
            ssl=self._ssl if self._ssl is not None else True,
        )
        unlimited = self._read_timeout == float("inf")
        timeout = aiohttp.ClientTimeout(
            total=None,
            connect=self._connect_timeout,
            sock_read=None if unlimited else self._read_timeout,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            trace_configs=[trace_waits()] if self._connections < CONNECTIONS else None,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=self._read_buffer,
            max_line_size=2**15,
            max_field_size=2**15,
            headers={"User-Agent": "multirouter"},
        )

    def proxy_for(self, url: str) -> str | None:
        """Returns the proxy for a URL, looked up once for each origin.

        aiohttp's own `trust_env` reads the environment and `.netrc` in a thread on each request,
        and a `.netrc` entry for the host would conflict with the provider's key.
        """
        if self._proxy is not None:
            return self._proxy or None
        origin = url[: url.find("/", 8)]
        try:
            return self._proxies[origin]
        except KeyError:
            return self._proxies.setdefault(origin, proxy_from_environment(url))

    def __repr__(self) -> str:
        return f"<Http sessions={len(self._sessions)} sharers={self._users}>"


class Connections:
    """One provider's use of the connections, which several adapters may share."""

    __slots__ = ("_acquired", "_http")

    def __init__(self, http: Http) -> None:
        self._http = http
        self._acquired = False

    def acquire(self) -> None:
        """Begins the use, if it has not begun."""
        if not self._acquired:
            self._acquired = True
            self._http.acquire()

    async def release(self) -> None:
        """Ends the use; the last provider that shares the connections closes them."""
        if self._acquired:
            self._acquired = False
            await self._http.release()


def checked_pool(http: Http | None, base_url: str) -> Http:
    """The given connections, or new ones, for a service.

    Raises:
        ConfigurationError: the environment names a proxy that cannot be used.
    """
    pool = http or Http()
    pool.proxy_for(f"{base_url}/")
    return pool


def check_base_url(what: str, url: str) -> str:
    """Returns `url` without trailing slashes. The error does not show it, as it may contain a key.

    Raises:
        ConfigurationError: when it is not an http(s) URL, or has a user, a query or a fragment,
            which could put a key where logs show it.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            what,
            "must be an http:// or https:// URL such as https://api.example.com/v1 "
            "(the value is not shown)",
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(what, "must not contain a user, a query or a fragment")
    return url.rstrip("/")
