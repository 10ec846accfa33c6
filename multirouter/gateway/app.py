"""Gateway: dispatches HTTP requests to the endpoints in front of a router."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.auth.authentication import AccessControl
from multirouter.gateway.auth.key_protocol import Key, Keys
from multirouter.gateway.console.endpoints import ConsoleEndpoints
from multirouter.gateway.endpoints.admin import AdminAPI
from multirouter.gateway.endpoints.admin_operations import in_this_process
from multirouter.gateway.endpoints.chat import answer_chat
from multirouter.gateway.endpoints.gemini import GenerateContent
from multirouter.gateway.endpoints.health import Monitoring
from multirouter.gateway.endpoints.messages import answer_messages
from multirouter.gateway.endpoints.model_requests import ModelRequests, record_model
from multirouter.gateway.endpoints.operations import OPERATIONS, WITH_FILES, answer_operation
from multirouter.gateway.endpoints.recent_calls import LastCalls, RecentCalls
from multirouter.gateway.endpoints.responses import ResponsesRequest
from multirouter.gateway.endpoints.stored_responses import StoredResponses
from multirouter.gateway.endpoints.token_counts import (
    counting,
    for_messages,
    for_responses,
    message_count,
    response_count,
)
from multirouter.gateway.formats.anthropic.requests import from_messages
from multirouter.gateway.http import cors
from multirouter.gateway.http.active_streams import ActiveStreams
from multirouter.gateway.http.endpoint_table import Endpoint, EndpointTable, Handler
from multirouter.gateway.http.event_socket import EventSocket
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError, http_error_from
from multirouter.gateway.http.request_body import read_json_object, read_object_or_form
from multirouter.gateway.http.request_ids import request_id, request_ids
from multirouter.gateway.http.server_limits import ServerLimits
from multirouter.gateway.http.wire_format import (
    ANTHROPIC,
    GEMINI,
    OPENAI,
    RESPONSES,
    WireFormat,
    client_format,
    error_headers,
)
from multirouter.gateway.ids.made_ids import MadeIds
from multirouter.gateway.openapi.endpoint import OpenAPI
from multirouter.gateway.response_store import ResponseStore
from multirouter.gateway.routing.model_catalogue import ModelCatalogue
from multirouter.gateway.routing.router_calls import Router
from multirouter.gateway.short_wait import ShortWait
from multirouter.gateway.sockets.response_sockets import ResponseSockets
from multirouter.providers.quirks.learned_repairs import show_repairs

if TYPE_CHECKING:
    from multirouter.telemetry.opentelemetry import OpenTelemetry

__all__ = ["Gateway", "Key", "Keys", "ServerLimits"]

_MAX_PATH = 200
"""Characters of a path that are logged."""

_DISCONNECTED = 499
"""Status in the log when the client disconnected before the answer, as nginx logs it."""


class Gateway:
    """Serves a router of chat providers over HTTP; `gateway.server.Server` binds it to a port.

    Args:
        router: the router that answers.
        models: a route for each model's name, or pattern of names, that clients may use; None
            serves no models, but only the admin API, the console and monitoring.
        keys: the gateway keys; None serves this machine alone, unless `allow_anyone`.
        allow_anyone: whether a gateway without keys serves other machines too.
        origins: web pages that may use it (`https://app.example`, `*`).
        limits: limits on what one client may use.
        registry: the Prometheus registry of `/metrics`; None is the default one.
        log: the access log.
        new_request_id: makes the id of a request that brings none.
        short_wait: which requests wait when no provider is available; None is one second on all
            routes.
        secret: signs the sessions of the console; the processes of a gateway share it.
        telemetry: traces the requests; the router's own traces their calls.
        recent: the last calls, where others record them; None records requests.
        responses: keeps responses for clients that refer to them; None keeps none.
        made_ids: remembers which provider made an id; None does so in memory.

    Attributes:
        access: authenticates requests.
        admin: the admin API; its `reload` is set by the owner of the configuration.
        recent: the last calls.
        draining: set when it is about to stop: `/readyz` fails from then on.
        in_flight: requests under way.
        active_streams: the streams among them.
        started: when it was made, seconds since 1970.
        console: the endpoints of the console.
    """

    def __init__(
        self,
        router: Router,
        *,
        models: Mapping[str, str] | None,
        keys: Keys | None = None,
        allow_anyone: bool = False,
        origins: Collection[str] = (),
        limits: ServerLimits | None = None,
        registry: Any = None,
        log: AccessLog | None = None,
        new_request_id: Callable[[], str] | None = None,
        short_wait: ShortWait | None = None,
        secret: bytes | None = None,
        telemetry: OpenTelemetry | None = None,
        recent: LastCalls | None = None,
        responses: ResponseStore | None = None,
        made_ids: MadeIds | None = None,
    ) -> None:
        self.router = router
        self._made = made_ids = made_ids or MadeIds()
        self._stored: StoredResponses = StoredResponses(responses, made_ids)
        self.access: AccessControl = AccessControl(
            keys,
            origins=origins,
            allow_anyone=allow_anyone,
            secret=secret,
            membership=router.membership,
        )
        self.limits: ServerLimits = limits or ServerLimits()
        self.log: AccessLog = log or AccessLog()
        self.draining = False
        self.started: float = time.time()
        self.in_flight: int = 0
        self.active_streams: ActiveStreams = ActiveStreams()
        self.short_wait: ShortWait = short_wait or ShortWait()
        self._requests = RecentCalls()
        self.recent: LastCalls = recent or self._requests
        self.admin: AdminAPI = AdminAPI(self.access, self.log, in_this_process(self))
        self._origins = origins
        self._registry = registry
        show_repairs(registry)
        self._telemetry = telemetry
        self._new_request_id = new_request_id or request_ids()
        self._model_requests = ModelRequests(
            router, self.access, ModelCatalogue(models or {}), self.limits.read_timeout, made_ids
        )
        self._endpoints = EndpointTable()
        self.console: ConsoleEndpoints = ConsoleEndpoints(self, self._endpoints.all)
        if models is not None:
            self._add_model_endpoints()
        self._add_endpoints()
        if router.membership is not None:
            self.admin.overview = router.membership.overview

    @property
    def catalogue(self) -> ModelCatalogue:
        """The models in force."""
        return self._model_requests.catalogue

    def apply(self, *, models: Mapping[str, str], keys: Keys | None, short_wait: ShortWait) -> None:
        """Applies other models, keys and waits; requests under way are not affected."""
        self._model_requests.catalogue = ModelCatalogue(models)
        self.short_wait = short_wait
        self.access.apply(keys)

    def close(self) -> None:
        """Closes the files of kept responses and of ids."""
        self._stored.close()

    def add_endpoint(
        self, method: str, path: str, handler: Handler, wire_format: WireFormat | None = OPENAI
    ) -> None:
        """Adds an endpoint; see `EndpointTable.add` and `Endpoint`."""
        self._endpoints.add(method, path, Endpoint(handler, wire_format))

    async def handle(
        self,
        request: web.BaseRequest,
        handler: Handler | None = None,
        socket: EventSocket | None = None,
    ) -> web.StreamResponse:
        """Answers one request; errors become responses.

        Args:
            request: the request, or the handshake of a WebSocket.
            handler: answers a message of the WebSocket; None for the endpoint of the request.
            socket: gets the events of that answer, or its error.
        """
        loop = asyncio.get_running_loop()
        exchange = Exchange(
            request,
            request_id({} if socket else request.headers, self._new_request_id),
            loop.time,
            self._origins,
            active_streams=self.active_streams,
            short_wait=self.short_wait,
        )
        exchange.socket = socket
        status = _DISCONNECTED
        self.in_flight += 1
        try:
            if self._telemetry is None:
                response = await self._answer(exchange, handler)
                status = response.status
                return response
            with self._telemetry.request(request.method, request.headers) as span:
                try:
                    response = await self._answer(exchange, handler)
                    status = response.status
                    return response
                finally:
                    span.answered(request.path[:_MAX_PATH], status, exchange.id, exchange.key)
        finally:
            self.in_flight -= 1
            # After the answer was sent, which the client does not wait longer for.
            loop.call_soon(self._record_end, exchange, status, loop.time() - exchange.started)

    def error_response(self, exchange: Exchange, error: HTTPError) -> web.Response:
        """An error in the format of the endpoint."""
        exchange.error_code = exchange.error_code or error.code or str(error.status)
        headers = exchange.headers()
        headers.update(error_headers(error))
        body = exchange.wire_format.error_body(error, exchange.id)
        return web.json_response(body, status=error.status, headers=headers)

    async def _answer(self, exchange: Exchange, handler: Handler | None) -> web.StreamResponse:
        try:
            request = exchange.request
            exchange.path = request.path[:_MAX_PATH]
            exchange.wire_format = client_format(request.path, request.headers)
            self.access.check_local(request.headers)
            if handler is not None:
                exchange.wire_format = RESPONSES
                return await handler(exchange)
            if request.method == "OPTIONS" and self._origins:
                methods = self._endpoints.methods(request.path)
                return cors.preflight(request, exchange.headers(), methods)
            endpoint = self._endpoints.find(request)
            exchange.wire_format = endpoint.wire_format or exchange.wire_format
            return await endpoint.handler(exchange)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the client gets an answer to any error
            return await self._answer_error(exchange, error)

    async def _answer_error(self, exchange: Exchange, error: Exception) -> web.Response:
        """The answer to an error.

        The error must not be in a variable of `_answer`: its traceback holds that frame, and the
        request would be kept until the garbage collector runs.
        """
        http_error = http_error_from(error)
        if http_error.code == "internal_error":
            self.log.internal_error(exchange, error)
        if exchange.socket is not None:
            await exchange.socket.fail(http_error, exchange.id)
        return self.error_response(exchange, http_error)

    def _record_end(self, exchange: Exchange, status: int, seconds: float) -> None:
        if exchange.path:  # else the request is not logged
            summary = exchange.summary(status, seconds)
            self.log.request_ended(summary, exchange.trail)
            if exchange.route:
                self._requests.record(exchange, summary, seconds)
        exchange.release()

    # -- endpoints --------------------------------------------------------------------------

    def _add_model_endpoints(self) -> None:
        requests, interval = self._model_requests, self.limits.comment_interval
        chat = partial(answer_chat, comment_interval=interval)
        self.add_endpoint("POST", "/v1/chat/completions", requests.handler(chat))
        self.add_endpoint("POST", "/admin/chat", requests.admin_handler(chat))
        answer_message = partial(answer_messages, comment_interval=interval, made=self._made)
        messages = requests.handler(answer_message, from_messages)
        self.add_endpoint("POST", "/v1/messages", messages, ANTHROPIC)
        self.add_endpoint("POST", "/v1/responses", self._responses, RESPONSES)
        sockets = ResponseSockets(self, requests, self._stored)
        self.add_endpoint("GET", "/v1/responses", sockets.connect, RESPONSES)
        for (method, path), handle in self._stored.handlers().items():
            self.add_endpoint(method, path, requests.authenticated(handle), RESPONSES)
        count = requests.handler(counting(message_count), for_messages)
        self.add_endpoint("POST", "/v1/messages/count_tokens", count, ANTHROPIC)
        count = requests.handler(counting(response_count), for_responses)
        self.add_endpoint("POST", "/v1/responses/input_tokens", count, RESPONSES)
        for path, operation in OPERATIONS.items():
            answer = partial(answer_operation, operation, comment_interval=interval)
            body = read_object_or_form if operation in WITH_FILES else read_json_object
            self.add_endpoint("POST", path, requests.handler(answer, read_body=body))
        for version in ("v1", "v1beta"):
            models, model = f"/{version}/models", f"/{version}/models/**"
            self.add_endpoint("POST", f"{model}:*", self._generate_content, GEMINI)
            self.add_endpoint("GET", models, requests.list_models, None)
            for path in (model, f"{model}:*"):  # names of models may have a colon
                self.add_endpoint("GET", path, requests.get_model, None)

    def _add_endpoints(self) -> None:
        console = {**self.admin.handlers(), **self.console.handlers()}
        for (method, path), handler in console.items():
            self.add_endpoint(method, path, handler)
        monitoring = Monitoring(self, self._registry)
        self.add_endpoint("GET", "/healthz", monitoring.alive)
        self.add_endpoint("GET", "/readyz", monitoring.ready)
        self.add_endpoint("GET", "/metrics", monitoring.metrics)
        self.add_endpoint("GET", "/openapi.json", OpenAPI(self._endpoints.all).answer)

    async def _responses(self, exchange: Exchange) -> web.StreamResponse:
        request = ResponsesRequest(self.limits.comment_interval, self._stored)
        handler = self._model_requests.handler(
            request.answer, request.read, expand=self._stored.expand
        )
        return await handler(exchange)

    async def _generate_content(self, exchange: Exchange) -> web.StreamResponse:
        request = GenerateContent(exchange.request, self.limits.comment_interval)
        record_model(exchange, request.model)
        return await self._model_requests.handler(request.answer, request.read)(exchange)
