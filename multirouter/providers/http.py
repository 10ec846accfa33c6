"""HTTP as the adapters need it: pooled, bounded, through the environment's proxies, no redirects.

aiohttp is loaded when the first session is made.
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


_LARGE = 2**20
"""Bytes from which aiohttp warns of a body in one piece, and sends one of these in parts."""


class BodyTooLong(ValueError):
    """A response's body grew beyond the bound."""


class Http:
    """Connections to share: one aiohttp session an event loop, made when it is first needed.

    Each adapter has its own unless `http=` gives several the same one; the last of them to
    close closes it. Used again after that, it opens again.

    Attributes:
        max_body: bytes a response's body may have, decompressed.

    Args:
        connections: how many may be open at once, at least 1.
        connect_timeout: seconds for DNS, TCP, TLS and the wait for a free connection together.
        read_timeout: seconds of silence on an open connection. A safety net under the router's
            own limits: models that think may be silent for minutes.
        keepalive: seconds an idle connection is kept.
        dns_ttl: seconds a resolved address is used.
        proxy: the proxy's URL; None takes `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
            `NO_PROXY` from the environment, "" uses none.
        ssl: a TLS context instead of the default one (for a private certificate authority).
        read_buffer: bytes read ahead; a consumer slower than its provider holds it back once
            twice this much waits.
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
        self._connect_timeout = check.span("Http.connect_timeout", connect_timeout)
        self._read_timeout = check.span("Http.read_timeout", read_timeout, endless=True)
        self._keepalive = check.span("Http.keepalive", keepalive)
        self._dns_ttl = check.span("Http.dns_ttl", dns_ttl)
        self._read_buffer = check.count("Http.read_buffer", read_buffer, least=1024)
        self.max_body: int = check.count("Http.max_body", max_body)
        self._proxy = proxy if proxy is None else _checked_proxy(proxy)
        self._ssl = ssl
        self._proxies: dict[str, str | None] = {}
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession]
        self._sessions = WeakKeyDictionary()
        self._sharers = 0

    def share(self) -> None:
        """One more adapter uses these connections."""
        self._sharers += 1

    async def leave(self) -> None:
        """One adapter less; the last closes the sessions."""
        self._sharers -= 1
        if self._sharers <= 0:
            await self.aclose()

    async def aclose(self) -> None:
        """Closes the running loop's session and those whose loops are gone."""
        here = asyncio.get_running_loop()
        for loop in [loop for loop in self._sessions if loop is here or loop.is_closed()]:
            await self._sessions.pop(loop).close()

    async def session(self) -> aiohttp.ClientSession:
        """The running loop's session.

        Raises:
            UsageError: where no asyncio loop runs (on trio).
        """
        try:
            session = self._sessions.get(asyncio.get_running_loop())
        except RuntimeError:
            raise UsageError("the adapters need asyncio: aiohttp knows no other loop") from None
        return session or await self._open()

    async def post(
        self, session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """Sends `body`; redirects are answers like any other, so no key travels on.

        Raises:
            aiohttp.ClientError: and OSError, TimeoutError: no response came.
        """
        data = body if len(body) < _LARGE else BytesIO(body)
        return await session.post(
            url, data=data, headers=headers, allow_redirects=False, proxy=self._proxy_for(url)
        )

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole body.

        Raises:
            BodyTooLong: beyond `max_body` bytes.
            aiohttp.ClientError: the connection broke off.
        """
        parts: list[bytes] = []
        size = 0
        while part := await response.content.readany():
            parts.append(part)
            size += len(part)
            if size > self.max_body:
                raise BodyTooLong(f"a body of more than {self.max_body} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _open(self) -> aiohttp.ClientSession:
        """A new session; what closed loops have left behind is cleared away."""
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
        endless = self._read_timeout == float("inf")
        timeout = aiohttp.ClientTimeout(
            total=None,
            connect=self._connect_timeout,
            sock_read=None if endless else self._read_timeout,
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
        """The proxy, looked up once a host.

        aiohttp's own `trust_env` reads the environment and `.netrc` in a thread on each request,
        and a `.netrc` entry for the host would clash with the provider's key.
        """
        if self._proxy is not None:
            return self._proxy or None
        origin = url[: url.find("/", 8)]
        try:
            return self._proxies[origin]
        except KeyError:
            return self._proxies.setdefault(origin, _proxy_from_environment(url))

    def __repr__(self) -> str:
        return f"<Http sessions={len(self._sessions)} sharers={self._sharers}>"


def _proxy_from_environment(url: str) -> str | None:
    parts = urlsplit(url)
    proxies: dict[str, Any] = urllib.request.getproxies()
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    proxy: str | None = proxies.get(parts.scheme) or proxies.get("all")
    return proxy


def _checked_proxy(proxy: str) -> str:
    if proxy and urlsplit(proxy).scheme not in {"http", "https"}:
        raise ConfigurationError("Http.proxy", "must be an http:// or https:// URL")
    return proxy


def checked_base_url(what: str, url: str) -> str:
    """`url` without its last slashes, or a refusal that shows no key.

    Raises:
        ConfigurationError: when it is no http(s) URL, or carries a user, a query or a fragment,
            which would put a key where logs show it.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(what, "must be an http:// or https:// URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(what, "must not carry a user, a query or a fragment")
    return url.rstrip("/")
