"""Steps that all requests naming a model share: key, limits, options, and the model lists."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from multirouter.errors import UsageError
from multirouter.gateway.auth.authentication import AccessControl
from multirouter.gateway.auth.key_protocol import Key, check_routes
from multirouter.gateway.endpoints.chat import json_response
from multirouter.gateway.endpoints.models import model_entry, model_list
from multirouter.gateway.http.endpoint_table import Handler
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.http.request_body import read_json_object
from multirouter.gateway.routing.model_catalogue import ModelCatalogue
from multirouter.gateway.routing.request_options import RequestOptions, parse_options
from multirouter.gateway.routing.router_calls import Router

Answer = Callable[[Router, RequestOptions, Exchange], Awaitable[web.StreamResponse]]
Read = Callable[[dict[str, Any]], dict[str, Any]]

_MAX_MODEL_NAME = 200
"""Characters of a requested model's name that are logged."""


def _unchanged(body: dict[str, Any]) -> dict[str, Any]:
    return body


class ModelRequests:
    """Authenticates and parses requests that name a model.

    Args:
        router: answers them.
        access: authenticates them.
        catalogue: the models that clients may use.
        read_timeout: seconds in which a body must arrive.

    Attributes:
        catalogue: the models in force; a reload replaces them.
    """

    def __init__(
        self,
        router: Router,
        access: AccessControl,
        catalogue: ModelCatalogue,
        read_timeout: float,
    ) -> None:
        self.catalogue = catalogue
        self._router = router
        self._access = access
        self._read_timeout = read_timeout
        self._created = int(time.time())

    def handler(self, answer: Answer, read: Read = _unchanged) -> Handler:
        """The handler of an endpoint.

        Args:
            answer: answers an authenticated request.
            read: translates a body to the canonical request, or raises HTTPError.
        """

        async def handle(exchange: Exchange) -> web.StreamResponse:
            key = self._key_of(exchange)
            if key is None:
                return await self._answer(exchange, answer, read, None)
            exchange.key = key.name
            limits = self._access.limits
            await limits.acquire(key, exchange.clock())
            try:
                return await self._answer(exchange, answer, read, key)
            finally:
                limits.release(key, exchange.tokens, exchange.cost, exchange.clock())

        return handle

    async def list_models(self, exchange: Exchange) -> web.StreamResponse:
        """Answers with the models that the key gives access to."""
        key = self._key_of(exchange)
        names = [name for name in self.catalogue.names if self._may_use(key, name)]
        return json_response(exchange, model_list(names, exchange.wire_format, self._created))

    async def get_model(self, exchange: Exchange) -> web.StreamResponse:
        """Answers with one model.

        Raises:
            HTTPError: 404 for an unknown model, 403 if the key gives no access to it.
        """
        key = self._key_of(exchange)
        name = exchange.request.path.partition("/models/")[2]
        check_routes(key, [self.catalogue.find(name)])
        return json_response(exchange, model_entry(name, exchange.wire_format, self._created))

    async def _answer(
        self, exchange: Exchange, answer: Answer, read: Read, key: Key | None
    ) -> web.StreamResponse:
        body = await read_json_object(exchange.request, self._read_timeout)
        record_model(exchange, exchange.requested_model or str(body.get("model") or ""))
        options = parse_options(read(body), self.catalogue.find, self._check_route)
        check_routes(key, options.targets)
        return await answer(self._router, options, exchange)

    def _check_route(self, route: str) -> None:
        try:
            self._router.explain(route)
        except UsageError as error:
            raise HTTPError(400, str(error), code="invalid_value", param="route") from None

    def _key_of(self, exchange: Exchange) -> Key | None:
        request = exchange.request
        query_key = request.query.get("key") if exchange.wire_format.key_in_query else None
        return self._access.authenticate(request.headers, query_key)

    def _may_use(self, key: Key | None, name: str) -> bool:
        return key is None or key.may_use(str(self.catalogue.find(name).route))


def record_model(exchange: Exchange, model: str) -> None:
    """Records the model that the client named, for the log."""
    exchange.requested_model = model[:_MAX_MODEL_NAME]
