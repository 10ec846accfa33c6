"""HTTP connections of the adapters: pooled and bounded, with proxies, without redirects.

aiohttp is loaded when the first session is opened.
"""

from __future__ import annotations

import asyncio
import urllib.request
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    import ssl

    import aiohttp


_LARGE_BODY = 2**20
"""Bytes. aiohttp warns about a larger body given as bytes, and sends a stream in parts."""


class BodyTooLong(ValueError):
    """The body of a response is longer than `Http.max_body`."""


class Http:
    """A connection pool: one aiohttp session for each event loop, opened when first used.

    Each adapter has a pool of its own unless `http=` gives several adapters the same one. The last
    adapter that closes closes the pool. A pool that is used again after that opens again.

    Attributes:
        max_body: maximum bytes of a response body after decompression.

    Args:
        connections: maximum open connections, at least 1.
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
        connections: int = 512,
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
        self._proxy = proxy if proxy is None else _checked_proxy(proxy)
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
        self, session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """Sends `body`. A redirect is returned like any response, so the key reaches no other host.

        Raises:
            aiohttp.ClientError: when no response came; also OSError and TimeoutError.
        """
        data = body if len(body) < _LARGE_BODY else BytesIO(body)
        return await session.post(
            url, data=data, headers=headers, allow_redirects=False, proxy=self._proxy_for(url)
        )

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
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=self._read_buffer,
            max_line_size=2**15,
            max_field_size=2**15,
            headers={"User-Agent": "multirouter"},
        )

    def _proxy_for(self, url: str) -> str | None:
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
            return self._proxies.setdefault(origin, _proxy_from_environment(url))

    def __repr__(self) -> str:
        return f"<Http sessions={len(self._sessions)} sharers={self._users}>"


def _proxy_from_environment(url: str) -> str | None:
    parts = urlsplit(url)
    proxies: dict[str, Any] = urllib.request.getproxies()
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    proxy: str | None = proxies.get(parts.scheme) or proxies.get("all")
    return proxy


def _checked_proxy(proxy: str) -> str:
    if proxy and urlsplit(proxy).scheme not in {"http", "https"}:
        raise ConfigurationError(
            "Http.proxy",
            "must be an http:// or https:// URL such as http://proxy:3128 (the value is not shown)",
        )
    return proxy


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
