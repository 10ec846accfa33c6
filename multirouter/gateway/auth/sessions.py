"""Sessions of the console: an admin signs in once, and the browser keeps a signed cookie."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from multirouter.config.client_keys.loopback import host_from, is_loopback
from multirouter.gateway.auth.key_protocol import Key, Keys
from multirouter.gateway.http.http_error import HTTPError

if TYPE_CHECKING:
    from aiohttp import web

LIFETIME = 12 * 3600
"""Seconds after which an admin signs in again."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


class Sessions:
    """Signs and checks session cookies.

    A session ends when its time is over, when its key is revoked, and when the gateway stops. It is
    not stored: any process with the same secret accepts it.

    Args:
        secret: known to the processes of this gateway alone; at least 32 random bytes.
        wall: the time now, seconds since 1970.
    """

    def __init__(self, secret: bytes, wall: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._wall = wall

    def new(self, key: Key) -> str:
        """The value of the cookie of an admin who has signed in."""
        return self._signed(key, int(self._wall()) + LIFETIME)

    def check(self, cookie: str, keys: Keys) -> Key | None:
        """The admin key of a session; None when it has ended or is forged."""
        id_, _, rest = cookie.partition(".")
        ends = rest.partition(".")[0]
        if not ends.isdecimal() or len(ends) > 15 or int(ends) <= self._wall():
            return None
        for key in keys.active:
            if key.admin and key.id == id_:
                valid = hmac.compare_digest(
                    cookie.encode("utf-8", "replace"), self._signed(key, int(ends)).encode()
                )
                return key if valid else None
        return None

    def _signed(self, key: Key, ends: int) -> str:
        text = f"{key.id}.{ends}"
        name = key.name.encode("utf-8", "surrogatepass")
        signature = hmac.new(self._secret, text.encode() + b"." + name, hashlib.sha256)
        return f"{text}.{signature.hexdigest()}"


def cookie_name(request: web.BaseRequest) -> str:
    """The cookie's name: browsers send cookies to all ports of a host, so it contains the port."""
    port = request.headers.get("Host", "").rpartition(":")[2]
    return f"multirouter_session_{port if port.isdecimal() else 'default'}"


def check_same_origin(request: web.BaseRequest) -> None:
    """Checks that a page of another origin did not cause a request.

    Browsers state the origin of each request that may change something, and of each request that
    scripts make; the cookie alone is no proof, since pages of other ports are of the same site.

    Raises:
        HTTPError: 403.
    """
    headers = request.headers
    site = headers.get("Sec-Fetch-Site", "same-origin")
    origin = headers.get("Origin")
    if origin is None:
        allowed = request.method in SAFE_METHODS and site in {"same-origin", "none"}
    else:
        allowed = origin.partition("://")[2] == headers.get("Host") and site == "same-origin"
    if not allowed:
        message = "only pages of this gateway may do this: the request came from another origin"
        raise HTTPError(403, message, code="forbidden_origin")


def is_local(request: web.BaseRequest) -> bool:
    """Whether a program on this machine sent a request, to a loopback name, without a proxy."""
    headers = request.headers
    return (
        is_loopback(request.remote or "")
        and is_loopback(host_from(headers.get("Host", "")))
        and not any(name in headers for name in _PROXY_HEADERS)
    )
