"""Authentication: gateway keys, or loopback clients alone on a gateway without keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from multirouter.gateway.auth.key_limits import KeyLimits, Limiter
from multirouter.gateway.auth.key_protocol import Key, Keys, token_from
from multirouter.gateway.auth.loopback import host_from, is_loopback
from multirouter.gateway.http.http_error import HTTPError


class AccessControl:
    """Authenticates requests.

    Args:
        keys: all gateway keys; None serves clients of this machine without a key.
        origins: web pages that may use a gateway without keys; `*` is all.
        allow_anyone: whether a gateway without keys serves other machines too.

    Attributes:
        keys: the keys in force. A reload may replace them: usage is counted by key name, and
            stays counted.
        limits: counts the usage of each key; a worker's counts over all workers.
    """

    def __init__(
        self,
        keys: Keys | None,
        *,
        origins: Collection[str] = (),
        allow_anyone: bool = False,
    ) -> None:
        self.keys = keys
        self.limits: Limiter = KeyLimits()
        self._origins = origins
        self._allow_anyone = allow_anyone

    def authenticate(self, headers: Mapping[str, str], query_key: str | None = None) -> Key | None:
        """The key of a request; None on a gateway without keys.

        Args:
            headers: the request's headers.
            query_key: the key in the URL's query, if the format of the endpoint allows one.

        Raises:
            HTTPError: 401 without a valid key; on a gateway without keys 403 for a web page of
                another origin or a host name that is not loopback.
        """
        if self.keys is None:
            self._check_local(headers)
            return None
        token = token_from(headers) or query_key
        if not token:
            message = "missing API key: send `Authorization: Bearer KEY` or `x-api-key: KEY`"
            raise HTTPError(401, message, code="invalid_api_key")
        key = self.keys.check(token)
        if key is None:
            raise HTTPError(401, "invalid API key", code="invalid_api_key")
        if key.admin:
            message = "invalid API key: an admin key gives access to /admin only"
            raise HTTPError(401, message, code="invalid_api_key")
        return key

    def authenticate_admin(self, headers: Mapping[str, str]) -> Key:
        """The admin key of a request.

        Raises:
            HTTPError: 401 without an admin key; 404 on a gateway without keys, which has no admin
                API.
        """
        if self.keys is None:
            message = "a gateway without keys has no admin API"
            raise HTTPError(404, message, code="not_found")
        key = self.keys.check(token_from(headers) or "")
        if key is None or not key.admin:
            message = "missing or invalid admin key: make one with `multirouter keys new --admin`"
            raise HTTPError(401, message, code="invalid_api_key")
        return key

    def _check_local(self, headers: Mapping[str, str]) -> None:
        """Rejects web pages, which a local browser runs for others, and foreign host names."""
        origin = headers.get("Origin")
        if origin is not None and origin not in self._origins and "*" not in self._origins:
            message = f"origin {origin!r} is not allowed: add it to `server.cors_origins`"
            raise HTTPError(403, message, code="forbidden_origin")
        host = host_from(headers.get("Host", ""))
        if not self._allow_anyone and not is_loopback(host):
            message = f"host {host!r} is not allowed: a gateway without keys serves loopback only"
            raise HTTPError(403, message, code="forbidden_host")
