"""Admin API: inspect a running gateway, hold circuits, change weights, reload the configuration."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from operator import itemgetter
from typing import Any

from aiohttp import web

from multirouter.errors import ConfigurationError, UsageError
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.auth.authentication import AccessControl
from multirouter.gateway.endpoints.admin_operations import (
    Everywhere,
    ReadCalls,
    ReadSnapshot,
    SetHold,
    SetWeight,
)
from multirouter.gateway.endpoints.chat import json_response
from multirouter.gateway.http.endpoint_table import Handler
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError, invalid_field, shown
from multirouter.gateway.http.request_body import read_json_object

ROOT = "/admin"
_READ_TIMEOUT = 10.0
"""Seconds in which the body of a change must arrive."""

_MAX_LIMIT_DIGITS = 6

Reload = Callable[[str], Awaitable[str]]
"""Reloads the configuration in every process; takes the reason, returns the error or ""."""

AdminCall = Callable[[Exchange, str], Awaitable[Any]]


class AdminAPI:
    """Endpoints for admins: holders of an admin key, by the key or by a session of the console.

    A change reaches every worker before it is answered, and lasts until the next reload, which
    applies the file again; holds last until they are released. Each change is logged with the name
    of the key.

    Args:
        access: authenticates admin keys.
        log: logs each change.
        everywhere: runs operations in every process.

    Attributes:
        reload: reloads the configuration; None without a configuration file.
        everywhere: see Args; a worker sets its own.
        overview: reads the fleet, see `Membership.overview`; None without sharing.
    """

    def __init__(self, access: AccessControl, log: AccessLog, everywhere: Everywhere) -> None:
        self._access = access
        self._log = log
        self.everywhere: Everywhere = everywhere
        self.reload: Reload | None = None
        self.overview: Callable[[], Awaitable[dict[str, Any]]] | None = None

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """The handlers of all endpoints, by method and path."""
        calls: Mapping[tuple[str, str], AdminCall] = {
            ("GET", "snapshot"): self._snapshot,
            ("GET", "providers"): self._providers,
            ("GET", "circuits"): self._circuits,
            ("GET", "routes"): self._routes,
            ("GET", "calls"): self._calls,
            ("GET", "fleet"): self._fleet,
            ("POST", "hold"): self._hold,
            ("POST", "unhold"): self._unhold,
            ("POST", "weight"): self._weight,
            ("POST", "reload"): self._reload,
        }
        return {
            (method, f"{ROOT}/{name}"): self._handler(call)
            for (method, name), call in calls.items()
        }

    def _handler(self, call: AdminCall) -> Handler:
        """Authenticates a request before a call, and encodes what it returns."""

        async def handle(exchange: Exchange) -> web.StreamResponse:
            exchange.key = self._access.authenticate_admin(exchange.request)
            try:
                return json_response(exchange, finite(await call(exchange, exchange.key)))
            except (UsageError, ConfigurationError) as error:
                raise HTTPError(400, str(error), code="invalid_value") from None

        return handle

    async def _snapshot(self, exchange: Exchange, by: str) -> Any:
        return await self._read(exchange, lambda snapshot: snapshot)

    async def _providers(self, exchange: Exchange, by: str) -> Any:
        return await self._read(exchange, lambda snapshot: snapshot["providers"])

    async def _routes(self, exchange: Exchange, by: str) -> Any:
        return await self._read(exchange, lambda snapshot: snapshot["routes"])

    async def _circuits(self, exchange: Exchange, by: str) -> Any:
        return await self._read(exchange, _circuit_states)

    async def _read(self, exchange: Exchange, part: Callable[[Any], Any]) -> Any:
        """A part of the snapshot: one process' own, or, with several, each one's in a list."""
        found = [part(snapshot) for snapshot in await self.everywhere(ReadSnapshot())]
        return found[0] if len(found) == 1 else {"workers": found}

    async def _calls(self, exchange: Exchange, by: str) -> Any:
        limit = exchange.request.query.get("limit", "50")
        if not limit.isdecimal() or len(limit) > _MAX_LIMIT_DIGITS:
            allowed = f"an integer of at most {_MAX_LIMIT_DIGITS} digits"
            raise invalid_field("limit", f"must be {allowed}, got {limit!r}")
        found = [call for calls in await self.everywhere(ReadCalls(int(limit))) for call in calls]
        return sorted(found, key=itemgetter("time"), reverse=True)[: int(limit)]

    async def _fleet(self, exchange: Exchange, by: str) -> Any:
        if self.overview is None:
            message = "the state is not shared: there is no section `sharing`"
            raise HTTPError(404, message, code="not_found")
        return await self.overview()

    async def _hold(self, exchange: Exchange, by: str) -> Any:
        body = await read_json_object(exchange.request, _READ_TIMEOUT)
        provider, how = _string(body, "provider"), _string(body, "how")
        await self.everywhere(SetHold(provider, how))
        return self._changed("provider held by admin", by, provider=provider, how=how)

    async def _unhold(self, exchange: Exchange, by: str) -> Any:
        provider = _string(await read_json_object(exchange.request, _READ_TIMEOUT), "provider")
        await self.everywhere(SetHold(provider, None))
        return self._changed("provider released by admin", by, provider=provider)

    async def _weight(self, exchange: Exchange, by: str) -> Any:
        body = await read_json_object(exchange.request, _READ_TIMEOUT)
        provider, weight = _string(body, "provider"), body.get("weight")
        await self.everywhere(SetWeight(provider, weight))
        return self._changed("weight changed by admin", by, provider=provider, weight=weight)

    async def _reload(self, exchange: Exchange, by: str) -> Any:
        if self.reload is None:
            message = "there is no configuration file to reload"
            raise HTTPError(404, message, code="not_found")
        error = await self.reload(f"admin {by}")
        if error:
            raise HTTPError(400, error, code="invalid_configuration")
        return {"ok": True}

    def _changed(self, event: str, by: str, **fields: Any) -> Any:
        self._log.changed(event, by=by, **fields)
        return {"ok": True, **fields}


def _circuit_states(snapshot: Any) -> Any:
    return {name: provider["state"] for name, provider in snapshot["providers"].items()}


def _string(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise invalid_field(name, f"must be a non-empty string, got {shown(value)}")
    return value


def finite(value: Any) -> Any:
    """Plain data for JSON, which has no infinity: non-finite numbers become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value
