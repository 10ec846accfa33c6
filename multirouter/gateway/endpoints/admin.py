"""The admin API: look at a running gateway, hold circuits, shift weights, reload; all is logged."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from multirouter.errors import ConfigurationError, UsageError
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.auth.access_control import Guard, Key
from multirouter.gateway.endpoints.chat import json_response
from multirouter.gateway.endpoints.recent_calls import Recent
from multirouter.gateway.http.error_responses import Refusal
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.request_body import read_object
from multirouter.gateway.routing.router_calls import Router

ROOT = "/admin"
_SOON = 10.0
"""Seconds in which the body of a change must have come."""

Reload = Callable[[str], str]
Work = Callable[[Exchange, Key], Awaitable[Any]]


class Admin:
    """What the owner of an admin key may see and do.

    Changes hold in this process until the next reload: the file stays the truth.

    Args:
        router: what is looked at and changed.
        guard: knows the admin keys.
        recent: the last calls.
        log: is told of each change, and by whose key.
    """

    def __init__(self, router: Router, guard: Guard, recent: Recent, log: AccessLog) -> None:
        self._router = router
        self._guard = guard
        self._recent = recent
        self._log = log
        self.reload: Reload | None = None

    def doors(self) -> Mapping[tuple[str, str], Work]:
        """What is served, by method and path."""
        return {
            ("GET", f"{ROOT}/snapshot"): self._snapshot,
            ("GET", f"{ROOT}/providers"): self._providers,
            ("GET", f"{ROOT}/circuits"): self._circuits,
            ("GET", f"{ROOT}/routes"): self._routes,
            ("GET", f"{ROOT}/calls"): self._calls,
            ("POST", f"{ROOT}/hold"): self._hold,
            ("POST", f"{ROOT}/unhold"): self._unhold,
            ("POST", f"{ROOT}/weight"): self._weight,
            ("POST", f"{ROOT}/reload"): self._reload,
        }

    def serving(self, work: Work) -> Callable[[Exchange], Awaitable[web.StreamResponse]]:
        """A door for whoever has an admin key."""

        async def serve(exchange: Exchange) -> web.StreamResponse:
            key = self._guard.admin_of(exchange.request.headers)
            exchange.key = key.name
            try:
                return json_response(exchange, _plain(await work(exchange, key)))
            except (UsageError, ConfigurationError) as error:
                raise Refusal(400, str(error), code="invalid_value") from None

        return serve

    async def _snapshot(self, exchange: Exchange, key: Key) -> Any:
        return self._router.snapshot()

    async def _providers(self, exchange: Exchange, key: Key) -> Any:
        return self._router.snapshot()["providers"]

    async def _routes(self, exchange: Exchange, key: Key) -> Any:
        return self._router.snapshot()["routes"]

    async def _circuits(self, exchange: Exchange, key: Key) -> Any:
        names = self._router.names()
        return {name: self._router.circuit_state(name) for name in names}

    async def _calls(self, exchange: Exchange, key: Key) -> Any:
        most = exchange.request.query.get("most", "50")
        if not most.isdecimal() or len(most) > 6:
            raise Refusal(400, "most must be a whole number", code="invalid_value", param="most")
        return self._recent.newest(int(most))

    async def _hold(self, exchange: Exchange, key: Key) -> Any:
        body = await read_object(exchange.request, _SOON)
        provider, how = _text(body, "provider"), _text(body, "how")
        self._router.hold(provider, how)  # type: ignore[arg-type] # hold refuses unknown ones itself
        return self._changed("provider held by admin", key, provider=provider, how=how)

    async def _unhold(self, exchange: Exchange, key: Key) -> Any:
        provider = _text(await read_object(exchange.request, _SOON), "provider")
        self._router.unhold(provider)
        return self._changed("provider released by admin", key, provider=provider)

    async def _weight(self, exchange: Exchange, key: Key) -> Any:
        body = await read_object(exchange.request, _SOON)
        provider, weight = _text(body, "provider"), body.get("weight")
        self._router.update(provider, weight=weight)  # type: ignore[arg-type] # update refuses it itself
        return self._changed("weight changed by admin", key, provider=provider, weight=weight)

    async def _reload(self, exchange: Exchange, key: Key) -> Any:
        if self.reload is None:
            raise Refusal(404, "there is no file to read again", code="not_found")
        wrong = self.reload(f"admin key {key.name}")
        if wrong:
            raise Refusal(400, wrong, code="configuration_refused")
        return {"ok": True}

    def _changed(self, what: str, key: Key, **fields: Any) -> Any:
        self._log.changed(what, by=key.name, **fields)
        return {"ok": True, **fields}


def _text(body: Mapping[str, Any], name: str) -> str:
    given = body.get(name)
    if not isinstance(given, str) or not given:
        raise Refusal(400, f"{name} must be a name", code="invalid_value", param=name)
    return given


def _plain(value: Any) -> Any:
    """JSON has no infinity: what never comes is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
