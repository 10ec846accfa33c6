"""Endpoints of the console: sign in and out, live data, and one call for a page of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from multirouter.console import state
from multirouter.console.feed import Feed, TooManyViewers
from multirouter.gateway.auth.authentication import AccessControl
from multirouter.gateway.auth.sessions import LIFETIME, check_same_origin, cookie_name
from multirouter.gateway.console import page
from multirouter.gateway.endpoints.admin import AdminAPI, finite
from multirouter.gateway.endpoints.admin_operations import ReadReport, Target
from multirouter.gateway.endpoints.chat import json_response
from multirouter.gateway.http.endpoint_table import Handler
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError, invalid_field, shown
from multirouter.gateway.http.request_body import read_json_object
from multirouter.gateway.routing.model_catalogue import ModelCatalogue

_READ_TIMEOUT = 10.0
"""Seconds in which the body of a request must arrive."""


class Host(Target, Protocol):
    """The parts of a gateway that its console uses.

    Attributes:
        access: authenticates admins.
        admin: runs operations in every process, and reloads.
        catalogue: the models that clients may use.
    """

    @property
    def access(self) -> AccessControl: ...  # noqa: D102 - see above
    @property
    def admin(self) -> AdminAPI: ...  # noqa: D102 - see above
    @property
    def catalogue(self) -> ModelCatalogue: ...  # noqa: D102 - see above


class ConsoleEndpoints:
    """Endpoints of the console of one gateway.

    The page is public; all data is behind `AccessControl.authenticate_admin`.

    Args:
        gateway: the gateway.
        endpoints: returns method and path of all its endpoints.

    Attributes:
        feed: computes what the open pages show.
    """

    def __init__(self, gateway: Host, endpoints: Callable[[], list[tuple[str, str]]]) -> None:
        self._gateway = gateway
        self._endpoints = endpoints
        self._started = time.time()
        self.feed: Feed = Feed(self.sections)

    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """The handlers of all endpoints, by method and path."""
        return {
            ("GET", "/"): self._root,
            ("GET", "/console/**"): self._asset,
            ("GET", "/admin/session"): self._session,
            ("POST", "/admin/session"): self._sign_in,
            ("DELETE", "/admin/session"): self._sign_out,
            ("GET", "/admin/events"): self._events,
        }

    async def sections(self) -> dict[str, Any]:
        """What the page shows now; see `console.state`."""
        gateway = self._gateway
        reports = await gateway.admin.everywhere(ReadReport(state.CALLS))
        now = time.time()
        sections = {
            "status": {
                "at": int(now),
                "router": reports[0]["snapshot"]["router"] if reports else "",
                "version": page.package_version(),
                "processes": len(reports),
                "requests": sum(report["requests"] for report in reports),
                "streams": sum(report["streams"] for report in reports),
                "waiting": sum(report["waiting"] for report in reports),
                "draining": any(report["draining"] for report in reports),
                "since": int(min((r["started"] for r in reports), default=self._started)),
                "reloads": gateway.admin.reload is not None,
                "models": list(gateway.catalogue.names),
            },
            "providers": state.providers_of(reports),
            "routes": state.routes_of(reports),
            "traffic": state.traffic_of(reports, now),
            "calls": state.calls_of(reports),
            "alarms": state.alarms_of(reports),
            "keys": await self._keys(),
            "fleet": await self._fleet(),
        }
        found: dict[str, Any] = finite(sections)
        return found

    async def _keys(self) -> list[dict[str, Any]] | None:
        """Each key with its limits and what it has used; None on a gateway without keys."""
        access = self._gateway.access
        if access.keys is None:
            return None
        used = await access.limits.usage()
        return [
            {
                "name": key.name,
                "id": key.id,
                "admin": key.admin,
                "routes": list(key.routes),
                "requests_per_minute": key.requests_per_minute,
                "tokens_per_minute": key.tokens_per_minute,
                "concurrent": key.concurrent,
                "budget": None if key.budget is None else str(key.budget),
                **used.get(key.name, {}),
            }
            for key in access.keys.active
        ]

    async def _fleet(self) -> dict[str, Any] | None:
        """The processes that share their state, see `overview`; None when nothing is shared."""
        overview = self._gateway.admin.overview
        return None if overview is None else await overview()

    # -- page and session -------------------------------------------------------------------

    async def _root(self, exchange: Exchange) -> web.StreamResponse:
        return page.root(exchange, self._endpoints())

    async def _asset(self, exchange: Exchange) -> web.StreamResponse:
        return page.asset(exchange)

    async def _session(self, exchange: Exchange) -> web.StreamResponse:
        """Says who is signed in; never an error, so that the page can ask."""
        exchange.path = ""
        access = self._gateway.access
        try:
            name: str | None = access.authenticate_admin(exchange.request)
        except HTTPError as error:
            if error.status != 401:
                raise
            name = None
        return json_response(exchange, {"admin": name, "keys": access.keys is not None})

    async def _sign_in(self, exchange: Exchange) -> web.StreamResponse:
        request = exchange.request
        check_same_origin(request)
        token = (await read_json_object(request, _READ_TIMEOUT)).get("key")
        if not isinstance(token, str) or not token:
            raise invalid_field("key", f"must be a non-empty string, got {shown(type(token))}")
        cookie = self._gateway.access.sign_in(request, token.strip())
        response = json_response(exchange, {"ok": True})
        response.set_cookie(
            cookie_name(request),
            cookie,
            max_age=LIFETIME,
            path="/admin",
            httponly=True,
            samesite="Strict",
            secure=_is_https(request),
        )
        return response

    async def _sign_out(self, exchange: Exchange) -> web.StreamResponse:
        check_same_origin(exchange.request)
        response = json_response(exchange, {"ok": True})
        response.del_cookie(cookie_name(exchange.request), path="/admin", samesite="Strict")
        return response

    # -- live data --------------------------------------------------------------------------

    async def _events(self, exchange: Exchange) -> web.StreamResponse:
        """Sends the sections as events until the page is closed or its session ends."""
        request, access = exchange.request, self._gateway.access
        access.authenticate_admin(request)
        exchange.path = ""
        headers = exchange.headers()
        headers["Content-Type"] = "text/event-stream"
        headers["Cache-Control"] = "no-store"
        headers["X-Accel-Buffering"] = "no"
        response = web.StreamResponse(headers=headers)
        events = self.feed.watch()
        try:
            first = await anext(events)
            await response.prepare(request)
            await response.write(first)
            async for changed in events:
                if self._gateway.draining or not self._is_admin(request):
                    break
                await response.write(changed)
        except TooManyViewers:
            message = "too many pages are open"
            raise HTTPError(503, message, code="too_many_viewers", retry_after=5.0) from None
        finally:
            await events.aclose()
        return response

    def _is_admin(self, request: web.BaseRequest) -> bool:
        try:
            self._gateway.access.authenticate_admin(request)
        except HTTPError:
            return False
        return True


def _is_https(request: web.BaseRequest) -> bool:
    """Whether the browser uses TLS, also where a proxy in front ends it."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
