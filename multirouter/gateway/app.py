"""Gateway: dispatches HTTP requests to the endpoints in front of a router."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from aiohttp import web

from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.auth.authentication import AccessControl
from multirouter.gateway.auth.key_protocol import Key, Keys
from multirouter.gateway.endpoints import health
from multirouter.gateway.endpoints.admin import AdminAPI
from multirouter.gateway.endpoints.admin_operations import in_this_process
from multirouter.gateway.endpoints.chat import answer_chat
from multirouter.gateway.endpoints.gemini import GenerateContent
from multirouter.gateway.endpoints.messages import answer_messages
from multirouter.gateway.endpoints.model_requests import Answer, ModelRequests, record_model
from multirouter.gateway.endpoints.operations import OPERATIONS, answer_operation
from multirouter.gateway.endpoints.recent_calls import RecentCalls
from multirouter.gateway.formats.anthropic.requests import from_messages
from multirouter.gateway.http import cors
from multirouter.gateway.http.active_streams import ActiveStreams
from multirouter.gateway.http.endpoint_table import Endpoint, EndpointTable, Handler
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError, http_error_from
from multirouter.gateway.http.server_limits import ServerLimits
from multirouter.gateway.http.wire_format import (
    ANTHROPIC,
    GEMINI,
    OPENAI,
    WireFormat,
    client_format,
    error_headers,
)
from multirouter.gateway.routing.model_catalogue import ModelCatalogue
from multirouter.gateway.routing.request_options import RequestOptions
from multirouter.gateway.routing.router_calls import Router
from multirouter.gateway.short_wait import ShortWait

__all__ = ["Gateway", "Key", "Keys", "ServerLimits"]

_VALID_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_MAX_PATH = 200
"""Characters of a path that are logged."""

_DISCONNECTED = 499
"""Status in the log when the client disconnected before the answer, as nginx logs it."""


class Gateway:
    """Serves a router of chat providers over HTTP; `gateway.server.Server` binds it to a port.

    Args:
        router: the router that answers.
        models: a route for each model's name, or pattern of names, that clients may use.
        keys: the gateway keys; None serves this machine alone, unless `allow_anyone`.
        allow_anyone: whether a gateway without keys serves other machines too.
        origins: web pages that may use it (`https://app.example`, `*`).
        limits: limits on what one client may use.
        registry: the Prometheus registry of `/metrics`; None is the default one.
        log: the access log.
        new_request_id: makes the id of a request that brings none.
        short_wait: which requests wait when no provider is available; None is one second on all
            routes.

    Attributes:
        access: authenticates requests.
        admin: the admin API; its `reload` is set by the owner of the configuration.
        recent: the last calls.
        draining: set when it is about to stop: `/readyz` fails from then on.
        in_flight: requests under way.
        active_streams: the streams among them.
    """

    def __init__(
        self,
        router: Router,
        *,
        models: Mapping[str, str],
        keys: Keys | None = None,
        allow_anyone: bool = False,
        origins: Collection[str] = (),
        limits: ServerLimits | None = None,
        registry: Any = None,
        log: AccessLog | None = None,
        new_request_id: Callable[[], str] | None = None,
        short_wait: ShortWait | None = None,
    ) -> None:
        self.router = router
        self.access: AccessControl = AccessControl(keys, origins=origins, allow_anyone=allow_anyone)
        self.limits: ServerLimits = limits or ServerLimits()
        self.log: AccessLog = log or AccessLog()
        self.draining = False
        self.in_flight: int = 0
        self.active_streams: ActiveStreams = ActiveStreams()
        self.short_wait: ShortWait = short_wait or ShortWait()
        self.recent: RecentCalls = RecentCalls()
        self.admin: AdminAPI = AdminAPI(self.access, self.log, in_this_process(self))
        self._origins = origins
        self._registry = registry
        self._new_request_id = new_request_id or _request_ids()
        self._model_requests = ModelRequests(
            router, self.access, ModelCatalogue(models), self.limits.read_timeout
        )
        self._endpoints = EndpointTable()
        self._add_endpoints()

    @property
    def catalogue(self) -> ModelCatalogue:
        """The models in force."""
        return self._model_requests.catalogue

    def apply(self, *, models: Mapping[str, str], keys: Keys | None, short_wait: ShortWait) -> None:
        """Applies other models, keys and waits; requests under way are not affected."""
        self._model_requests.catalogue = ModelCatalogue(models)
        self.short_wait = short_wait
        self.access.keys = keys

    def add_endpoint(
        self, method: str, path: str, handler: Handler, wire_format: WireFormat | None = OPENAI
    ) -> None:
        """Adds an endpoint; see `EndpointTable.add` and `Endpoint`."""
        self._endpoints.add(method, path, Endpoint(handler, wire_format))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request; errors become responses."""
        loop = asyncio.get_running_loop()
        exchange = Exchange(
            request,
            self._request_id(request),
            loop.time,
            self._origins,
            active_streams=self.active_streams,
            short_wait=self.short_wait,
        )
        status = _DISCONNECTED
        self.in_flight += 1
        try:
            response = await self._answer(exchange)
            status = response.status
            return response
        finally:
            self.in_flight -= 1
            self._record_end(exchange, status, loop.time() - exchange.started)

    def error_response(self, exchange: Exchange, error: HTTPError) -> web.Response:
        """An error in the format of the endpoint."""
        exchange.error_code = exchange.error_code or error.code or str(error.status)
        headers = exchange.headers()
        headers.update(error_headers(error))
        body = exchange.wire_format.error_body(error, exchange.id)
        return web.json_response(body, status=error.status, headers=headers)

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        try:
            request = exchange.request
            exchange.path = request.path[:_MAX_PATH]
            exchange.wire_format = client_format(request.path, request.headers)
            if request.method == "OPTIONS" and self._origins:
                methods = self._endpoints.methods(request.path)
                return cors.preflight(request, exchange.headers(), methods)
            endpoint = self._endpoints.find(request)
            exchange.wire_format = endpoint.wire_format or exchange.wire_format
            return await endpoint.handler(exchange)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the client gets an answer to any error
            http_error = http_error_from(error)
            if http_error.code == "internal_error":
                self.log.internal_error(exchange, error)
            return self.error_response(exchange, http_error)

    def _record_end(self, exchange: Exchange, status: int, seconds: float) -> None:
        self.log.request_ended(exchange, status, seconds)
        if exchange.route:
            self.recent.record(exchange, status, seconds)

    def _request_id(self, request: web.BaseRequest) -> str:
        """The client's id if it is valid in a header, else a new one."""
        id_ = request.headers.get("X-Request-Id", "")
        return id_ if _VALID_ID.fullmatch(id_) else self._new_request_id()

    # -- endpoints --------------------------------------------------------------------------

    def _add_endpoints(self) -> None:
        requests = self._model_requests
        self.add_endpoint("POST", "/v1/chat/completions", requests.handler(self._chat))
        messages = requests.handler(self._messages, from_messages)
        self.add_endpoint("POST", "/v1/messages", messages, ANTHROPIC)
        for path, operation in OPERATIONS.items():
            self.add_endpoint("POST", path, requests.handler(self._operation(operation)))
        for version in ("v1", "v1beta"):
            self.add_endpoint("POST", f"/{version}/models/*", self._generate_content, GEMINI)
            self.add_endpoint("GET", f"/{version}/models", requests.list_models, None)
            self.add_endpoint("GET", f"/{version}/models/*", requests.get_model, None)
        for (method, path), handler in self.admin.handlers().items():
            self.add_endpoint(method, path, handler)
        self.add_endpoint("GET", "/healthz", self._healthz)
        self.add_endpoint("GET", "/readyz", self._readyz)
        self.add_endpoint("GET", "/metrics", self._metrics)

    async def _chat(
        self, router: Router, options: RequestOptions, exchange: Exchange
    ) -> web.StreamResponse:
        interval = self.limits.comment_interval
        return await answer_chat(router, options, exchange, comment_interval=interval)

    async def _messages(
        self, router: Router, options: RequestOptions, exchange: Exchange
    ) -> web.StreamResponse:
        interval = self.limits.comment_interval
        return await answer_messages(router, options, exchange, comment_interval=interval)

    async def _generate_content(self, exchange: Exchange) -> web.StreamResponse:
        request = GenerateContent(exchange.request, self.limits.comment_interval)
        record_model(exchange, request.model)
        return await self._model_requests.handler(request.answer, request.read)(exchange)

    def _operation(self, operation: str) -> Answer:
        async def answer(
            router: Router, options: RequestOptions, exchange: Exchange
        ) -> web.StreamResponse:
            interval = self.limits.comment_interval
            return await answer_operation(
                operation, router, options, exchange, comment_interval=interval
            )

        return answer

    async def _healthz(self, exchange: Exchange) -> web.StreamResponse:
        exchange.path = ""  # not logged: monitoring calls it too often
        return health.alive()

    async def _readyz(self, exchange: Exchange) -> web.StreamResponse:
        exchange.path = ""
        return health.ready(self.router, draining=self.draining)

    async def _metrics(self, exchange: Exchange) -> web.StreamResponse:
        exchange.path = ""
        return health.metrics(self._registry)


def _request_ids() -> Callable[[], str]:
    """Makes ids of 96 random bits; seeded by the system once, not for every request."""
    source = random.Random()
    return lambda: f"req_{source.getrandbits(96):024x}"
