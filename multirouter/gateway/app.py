"""Gateway: a router's HTTP doors, who may use them, and what every answer has in common."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from aiohttp import web

from multirouter.core import validation as check
from multirouter.errors import UsageError
from multirouter.gateway.access_log import AccessLog
from multirouter.gateway.auth.access_control import Guard, Key, Keys, check_route
from multirouter.gateway.endpoints import health
from multirouter.gateway.endpoints.admin import Admin
from multirouter.gateway.endpoints.chat import answer_chat, json_response
from multirouter.gateway.endpoints.gemini import Generation
from multirouter.gateway.endpoints.messages import answer_messages
from multirouter.gateway.endpoints.models import list_of, listed
from multirouter.gateway.endpoints.passthrough import Passing, passing_doors
from multirouter.gateway.endpoints.recent_calls import Recent
from multirouter.gateway.formats.anthropic.requests import from_messages
from multirouter.gateway.http import cors
from multirouter.gateway.http.active_streams import Relays
from multirouter.gateway.http.error_bodies import (
    ANTHROPIC,
    GEMINI,
    OPENAI,
    Shape,
    refusal_headers,
    shape_of,
)
from multirouter.gateway.http.error_responses import Refusal, refusal_of
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.request_body import read_object
from multirouter.gateway.routing.model_catalogue import Catalog
from multirouter.gateway.routing.request_options import Wanted, wanted
from multirouter.gateway.routing.router_calls import Router
from multirouter.gateway.short_wait import Patience

__all__ = ["Bounds", "Gateway", "Key", "Keys"]

_FIT_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_WITH_IT = {"GET": ("GET", "HEAD")}
_LEFT = 499
"""The status in the log of a client that left: nginx's number for it."""

Answer = Callable[[Router, Wanted, Exchange], Awaitable[web.StreamResponse]]
ServeRequest = Callable[[Exchange], Awaitable[web.StreamResponse]]
Read = Callable[[dict[str, Any]], dict[str, Any]]


def _as_it_is(body: dict[str, Any]) -> dict[str, Any]:
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one client may take.

    Attributes:
        body: bytes of a request's body.
        header: bytes of one header field, and of the request line.
        read_timeout: seconds in which a body must have come.
        keepalive: seconds of silence in a stream before a comment is sent.
        idle: seconds a connection may rest between requests, or take over the headers of one.
        connections: connections at once.
    """

    body: int = 64 * 2**20
    header: int = 16 * 2**10
    read_timeout: float = 60.0
    keepalive: float = 15.0
    idle: float = 75.0
    connections: int = 10_000

    def __post_init__(self) -> None:
        check.count("Bounds.body", self.body)
        check.count("Bounds.header", self.header, least=256)
        check.span("Bounds.read_timeout", self.read_timeout)
        check.span("Bounds.keepalive", self.keepalive)
        check.span("Bounds.idle", self.idle)
        check.count("Bounds.connections", self.connections)


@dataclass(frozen=True, slots=True)
class _Door:
    """One method of one path; without a shape of its own it has that of whoever asks."""

    serve: ServeRequest
    shape: Shape | None = OPENAI


class Gateway:
    """Serves a router of chat providers over HTTP; `gateway.server.serve` puts it on a port.

    Args:
        router: whose providers answer.
        models: a route for each model's name, or pattern of names, that clients may ask for.
        keys: who may come in; None lets in this machine alone, unless `anyone`.
        anyone: whether a gateway without keys serves other machines too.
        origins: web pages that may use it (`https://app.example`, `*`).
        bounds: what one client may take.
        registry: the Prometheus registry that `/metrics` shows; None is the default one.
        log: the access log.
        new_id: makes a request's id where the client brings none.
        patience: who may wait when nobody can be asked now; None for a second, on all routes.

    Attributes:
        admin: the admin API; whoever can reload tells it how.
        recent: the last calls.
        draining: set when it is about to stop: `/readyz` fails from then on.
        in_flight: requests under way.
        relays: the streams among them.
    """

    def __init__(
        self,
        router: Router,
        *,
        models: Mapping[str, str],
        keys: Keys | None = None,
        anyone: bool = False,
        origins: Collection[str] = (),
        bounds: Bounds | None = None,
        registry: Any = None,
        log: AccessLog | None = None,
        new_id: Callable[[], str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.router = router
        self.catalog: Catalog = Catalog(models)
        self.guard: Guard = Guard(keys, origins=origins, anyone=anyone)
        self.bounds: Bounds = bounds or Bounds()
        self.log: AccessLog = log or AccessLog()
        self.draining = False
        self.in_flight: int = 0
        self.relays: Relays = Relays()
        self.patience: Patience = patience or Patience()
        self._origins = origins
        self._registry = registry
        self._new_id = new_id or _ids()
        self._began = int(time.time())
        self._doors: dict[str, dict[str, _Door]] = {}
        self.recent: Recent = Recent()
        self.admin: Admin = Admin(router, self.guard, self.recent, self.log)
        self._passing = passing_doors(router, registry)
        self._open_doors()

    def adopt(self, *, models: Mapping[str, str], keys: Keys | None, patience: Patience) -> None:
        """Goes on with other models, keys and waits; requests under way are not touched."""
        self.catalog = Catalog(models)
        self.patience = patience
        self.guard.keys = keys

    async def aclose(self) -> None:
        """Closes what the gateway has opened beside the router, which is not its own."""
        for _, passing in self._passing:
            await passing.aclose()

    def open(
        self, method: str, path: str, serve: ServeRequest, shape: Shape | None = OPENAI
    ) -> None:
        """Opens a door; `path` may end in `*`, and without a shape it has its client's."""
        self._doors.setdefault(path, {})[method] = _Door(serve, shape)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request, whatever comes."""
        loop = asyncio.get_running_loop()
        exchange = Exchange(
            request,
            self._id_of(request),
            loop.time,
            self._origins,
            relays=self.relays,
            patience=self.patience,
        )
        status = _LEFT
        self.in_flight += 1
        try:
            response = await self._answer(exchange)
            status = response.status
            return response
        finally:
            self.in_flight -= 1
            self._ended(exchange, status, loop.time() - exchange.began)

    def _ended(self, exchange: Exchange, status: int, seconds: float) -> None:
        self.log.ended(exchange, status, seconds)
        if exchange.route:
            self.recent.note(exchange, status, seconds)

    def refused(self, exchange: Exchange, refusal: Refusal) -> web.Response:
        """A refusal as an answer in the shape of the door."""
        exchange.why = exchange.why or refusal.code or str(refusal.status)
        headers = exchange.headers()
        headers.update(refusal_headers(refusal))
        body = exchange.shape.body(refusal, exchange.id)
        return web.json_response(body, status=refusal.status, headers=headers)

    # -- doors ------------------------------------------------------------------------------

    def _open_doors(self) -> None:
        self.open("POST", "/v1/chat/completions", self.door(self._chat))
        messages = self.door(self._messages, from_messages)
        self.open("POST", "/v1/messages", messages, ANTHROPIC)
        for path, passing in self._passing:
            self.open("POST", path, self.door(self._passed(passing)))
        for version in ("v1", "v1beta"):
            self.open("POST", f"/{version}/models/*", self._generate, GEMINI)
            self.open("GET", f"/{version}/models", self._models, None)
            self.open("GET", f"/{version}/models/*", self._model, None)
        for (method, path), work in self.admin.doors().items():
            self.open(method, path, self.admin.serving(work))
        self.open("GET", "/healthz", self._alive)
        self.open("GET", "/readyz", self._ready)
        self.open("GET", "/metrics", self._metrics)

    def door(self, answer: Answer, read: Read = _as_it_is) -> ServeRequest:
        """A door behind the guard, for requests that name a model.

        Args:
            answer: answers a request that was let in.
            read: makes the canonical request of a body, or raises Refusal.
        """

        async def serve(exchange: Exchange) -> web.StreamResponse:
            key = self._key_of(exchange)
            if key is None:
                return await self._routed(exchange, answer, read, None)
            exchange.key = key.name
            self.guard.enter(key, exchange.clock())
            try:
                return await self._routed(exchange, answer, read, key)
            finally:
                self.guard.leave(key, exchange.tokens, exchange.cost, exchange.clock())

        return serve

    async def _routed(
        self, exchange: Exchange, answer: Answer, read: Read, key: Key | None
    ) -> web.StreamResponse:
        body = await read_object(exchange.request, self.bounds.read_timeout)
        exchange.asked = exchange.asked or str(body.get("model") or "")[:200]
        asked = wanted(read(body), self.catalog.find, self._check_route)
        check_route(key, asked.targets)
        return await answer(self.router, asked, exchange)

    def _check_route(self, route: str) -> None:
        try:
            self.router.explain(route)
        except UsageError as error:
            raise Refusal(400, str(error), code="invalid_value", param="route") from None

    async def _chat(self, router: Router, asked: Wanted, exchange: Exchange) -> web.StreamResponse:
        return await answer_chat(router, asked, exchange, keepalive=self.bounds.keepalive)

    async def _messages(
        self, router: Router, asked: Wanted, exchange: Exchange
    ) -> web.StreamResponse:
        return await answer_messages(router, asked, exchange, keepalive=self.bounds.keepalive)

    async def _generate(self, exchange: Exchange) -> web.StreamResponse:
        generation = Generation(exchange.request, self.bounds.keepalive)
        exchange.asked = generation.model[:200]
        return await self.door(generation.answer, generation.read)(exchange)

    def _passed(self, passing: Passing) -> Answer:
        async def answer(_: Router, asked: Wanted, exchange: Exchange) -> web.StreamResponse:
            return await passing.answer(asked, exchange, keepalive=self.bounds.keepalive)

        return answer

    async def _models(self, exchange: Exchange) -> web.StreamResponse:
        key = self._key_of(exchange)
        names = [name for name in self.catalog.names if self._may_see(key, name)]
        return json_response(exchange, list_of(names, exchange.shape, self._began))

    async def _model(self, exchange: Exchange) -> web.StreamResponse:
        key = self._key_of(exchange)
        name = exchange.request.path.partition("/models/")[2]
        check_route(key, [self.catalog.find(name)])
        return json_response(exchange, listed(name, exchange.shape, self._began))

    def _key_of(self, exchange: Exchange) -> Key | None:
        request = exchange.request
        in_address = request.query.get("key") if exchange.shape.key_in_address else None
        return self.guard.key_of(request.headers, in_address)

    def _may_see(self, key: Key | None, name: str) -> bool:
        return key is None or key.may_use(str(self.catalog.find(name).route))

    async def _alive(self, exchange: Exchange) -> web.StreamResponse:
        exchange.door = ""  # too often to be told
        return health.alive()

    async def _ready(self, exchange: Exchange) -> web.StreamResponse:
        exchange.door = ""
        return health.ready(self.router, draining=self.draining)

    async def _metrics(self, exchange: Exchange) -> web.StreamResponse:
        exchange.door = ""
        return health.metrics(self._registry)

    # -- inside -----------------------------------------------------------------------------

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        try:
            request = exchange.request
            exchange.door = request.path[:200]
            exchange.shape = shape_of(request.path, request.headers)
            methods = self._methods(request.path)
            if request.method == "OPTIONS" and self._origins:
                return cors.preflight(request, exchange.headers(), methods)
            # aiohttp leaves out the body of an answer to HEAD by itself.
            method = "GET" if request.method == "HEAD" else request.method
            door = methods.get(method) or _no_such_method(request, methods)
            exchange.shape = door.shape or exchange.shape
            return await door.serve(exchange)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the client gets an answer
            refusal = refusal_of(error)
            if refusal.code == "internal_error":
                self.log.broken(exchange, error)
            return self.refused(exchange, refusal)

    def _methods(self, path: str) -> Mapping[str, _Door]:
        methods = self._doors.get(path)
        while methods is None:
            path, slash, _ = path.rstrip("*").rstrip("/").rpartition("/")
            if not slash:
                raise Refusal(404, "there is no such path here", code="not_found")
            methods = self._doors.get(f"{path}/*")
        return methods

    def _id_of(self, request: web.BaseRequest) -> str:
        given = request.headers.get("X-Request-Id", "")
        return given if _FIT_ID.fullmatch(given) else self._new_id()


def _ids() -> Callable[[], str]:
    """Makes ids of 96 random bits; the system is asked for chance once, not for every request."""
    chance = random.Random()
    return lambda: f"req_{chance.getrandbits(96):024x}"


def _no_such_method(request: web.BaseRequest, methods: Iterable[str]) -> NoReturn:
    told = f"{request.path} takes {', '.join(methods)}"
    allow = [name for method in methods for name in _WITH_IT.get(method, (method,))]
    raise Refusal(405, told, code="method_not_allowed", allow=allow)
