"""Authentication: gateway keys, or loopback clients alone on a gateway without keys."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from multirouter.config.client_keys.loopback import host_from, is_loopback
from multirouter.gateway.auth.key_limits import KeyLimits, Limiter
from multirouter.gateway.auth.key_protocol import Key, Keys
from multirouter.gateway.auth.key_shares import KeyShares
from multirouter.gateway.auth.sessions import Sessions, check_same_origin, cookie_name, is_local
from multirouter.gateway.http.http_error import HTTPError

if TYPE_CHECKING:
    from multirouter.runtime.fleet.membership import Membership


class AccessControl:
    """Authenticates requests.

    Args:
        keys: all gateway keys; None serves clients of this machine without a key.
        origins: web pages that may use a gateway without keys; `*` is all.
        allow_anyone: whether a gateway without keys serves other machines too.
        secret: signs the sessions of the console; None makes one for this process.
        membership: the fleet of gateways that share revoked keys and the limits of keys; None for
            a gateway alone.

    Attributes:
        keys: the keys in force. A reload may replace them: usage is counted by key name, and
            stays counted.
        limits: counts the usage of each key; see `count_with`.
        sessions: of admins who use the console.
    """

    def __init__(
        self,
        keys: Keys | None,
        *,
        origins: Collection[str] = (),
        allow_anyone: bool = False,
        secret: bytes | None = None,
        membership: Membership | None = None,
    ) -> None:
        self._membership = membership
        self.apply(keys)
        self.sessions: Sessions = Sessions(secret or secrets.token_bytes(32))
        shares = None if membership is None else KeyShares(membership.report_soon)
        self.count_with(KeyLimits(shares))
        self._origins = origins
        self._allow_anyone = allow_anyone

    def apply(self, keys: Keys | None) -> None:
        """Applies other keys; gateways that share their state reject those revoked here."""
        self.keys: Keys | None = keys
        if self._membership is not None and keys is not None:
            for id_ in sorted(keys.revoked):
                self._membership.operators.revoke(id_)

    def count_with(self, limits: Limiter) -> None:
        """Counts the usage of each key there; a worker's counter counts over all workers."""
        self.limits: Limiter = limits
        if self._membership is not None:
            self._membership.holder = limits

    def report_soon(self) -> None:
        """Reports the use of keys to the fleet before the interval is over."""
        if self._membership is not None:
            self._membership.report_soon()

    def authenticate(self, headers: Mapping[str, str], query_key: str | None = None) -> Key | None:
        """The key of a request; None on a gateway without keys.

        Args:
            headers: the request's headers.
            query_key: the key in the URL's query, if the format of the endpoint allows one.

        Raises:
            HTTPError: 401 without a valid key.
        """
        if self.keys is None:
            return None
        token = _token_from(headers) or query_key
        if not token:
            message = "missing API key: send `Authorization: Bearer KEY` or `x-api-key: KEY`"
            raise HTTPError(401, message, code="invalid_api_key")
        key = self._check(self.keys, token)
        if key is None:
            raise HTTPError(401, "invalid API key", code="invalid_api_key")
        if key.admin:
            message = "invalid API key: an admin key gives access to /admin only"
            raise HTTPError(401, message, code="invalid_api_key")
        return key

    def authenticate_admin(self, request: web.BaseRequest) -> str:
        """The name of the admin of a request: of its key, or of the console's session.

        On a gateway without keys, programs on this machine are the admin, unless it serves other
        machines.

        Raises:
            HTTPError: 401 without an admin key or a session; 403 for a page of another origin; 404
                when there is no admin.
        """
        if self.keys is None:
            return self._local_admin(request)
        token = _token_from(request.headers)
        if token is None:
            cookie = request.cookies.get(cookie_name(request), "")
            key = self.sessions.check(cookie, self.keys)
            if key is not None and not self._is_revoked(key):
                check_same_origin(request)
                return key.name
        else:
            key = self._check(self.keys, token)
        if key is None or not key.admin:
            message = "missing or invalid admin key: make one with `multirouter keys new --admin`"
            raise HTTPError(401, message, code="invalid_api_key")
        return key.name

    def sign_in(self, request: web.BaseRequest, token: str) -> str:
        """The cookie of a new session of an admin key.

        Raises:
            HTTPError: 401 for any other key, 403 for a page of another origin, 404 without keys.
        """
        check_same_origin(request)
        if self.keys is None:
            raise HTTPError(404, "a gateway without keys has no sessions", code="not_found")
        key = self._check(self.keys, token)
        if key is None or not key.admin:
            message = "this is no admin key: make one with `multirouter keys new --admin`"
            raise HTTPError(401, message, code="invalid_api_key")
        return self.sessions.new(key)

    def _local_admin(self, request: web.BaseRequest) -> str:
        if self._allow_anyone or not is_local(request):
            message = "a gateway without keys has an admin API for this machine only"
            raise HTTPError(404, message, code="not_found")
        check_same_origin(request)
        return "this machine"

    def _check(self, keys: Keys, token: str) -> Key | None:
        key = keys.check(token)
        return None if key is None or self._is_revoked(key) else key

    def _is_revoked(self, key: Key) -> bool:
        """Whether another gateway that shares its state has revoked a key."""
        return self._membership is not None and self._membership.operators.is_revoked(key.id)

    def check_local(self, headers: Mapping[str, str]) -> None:
        """Rejects web pages, which a local browser runs for others, and foreign host names.

        It applies to a gateway without keys, and there to every endpoint.

        Raises:
            HTTPError: 403 for a web page of another origin, or a host name that is not loopback.
        """
        if self.keys is not None:
            return
        origin = headers.get("Origin")
        own = origin is not None and origin.partition("://")[2] == headers.get("Host")
        if not (origin is None or own or origin in self._origins or "*" in self._origins):
            message = f"origin {origin!r} is not allowed: add it to `server.cors_origins`"
            raise HTTPError(403, message, code="forbidden_origin")
        host = host_from(headers.get("Host", ""))
        if not self._allow_anyone and not is_loopback(host):
            message = f"host {host!r} is not allowed: a gateway without keys serves loopback only"
            raise HTTPError(403, message, code="forbidden_host")


def _token_from(headers: Mapping[str, str]) -> str | None:
    """The key in a request's headers, as OpenAI's, Anthropic's and Google's clients send it."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key") or headers.get("x-goog-api-key") or None
