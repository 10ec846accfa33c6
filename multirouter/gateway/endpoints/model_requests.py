"""Steps that all requests naming a model share: key, limits, options, and the model lists."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from multirouter.core.routes.chain import Target
from multirouter.errors import CallFailed, ProviderError, UsageError
from multirouter.gateway.auth.authentication import AccessControl
from multirouter.gateway.auth.key_protocol import Key, check_access
from multirouter.gateway.endpoints.chat import json_response
from multirouter.gateway.endpoints.models import model_entry, model_list
from multirouter.gateway.formats.translated import Translated
from multirouter.gateway.http.endpoint_table import Handler
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.http.request_body import read_json_object
from multirouter.gateway.http.unreported_usage import estimate
from multirouter.gateway.ids.made_ids import MadeIds
from multirouter.gateway.ids.references import references_in, unknown_reference
from multirouter.gateway.routing.model_catalogue import ModelCatalogue
from multirouter.gateway.routing.request_options import (
    EXTENSION_FIELDS,
    RequestOptions,
    parse_options,
)
from multirouter.gateway.routing.router_calls import Router
from multirouter.providers.native.client_request import ClientRequest

Answer = Callable[[Router, RequestOptions, Exchange], Awaitable[web.StreamResponse]]
Read = Callable[[dict[str, Any]], Translated]
Expand = Callable[[Exchange, dict[str, Any]], Awaitable[dict[str, Any]]]
ReadBody = Callable[[web.BaseRequest, float], Awaitable[dict[str, Any]]]

_MAX_MODEL_NAME = 200
"""Characters of a requested model's name that are logged."""


def _unchanged(body: dict[str, Any]) -> Translated:
    return Translated(dict(body))


class ModelRequests:
    """Authenticates and parses requests that name a model.

    Args:
        router: answers them.
        access: authenticates them.
        catalogue: the models that clients may use.
        read_timeout: seconds in which a body must arrive.
        made: the ids that providers have made.

    Attributes:
        catalogue: the models in force; a reload replaces them.
    """

    def __init__(
        self,
        router: Router,
        access: AccessControl,
        catalogue: ModelCatalogue,
        read_timeout: float,
        made: MadeIds,
    ) -> None:
        self.catalogue = catalogue
        self._made = made
        self._router = router
        self._access = access
        self._read_timeout = read_timeout
        self._created = int(time.time())

    def handler(
        self,
        answer: Answer,
        read: Read = _unchanged,
        *,
        expand: Expand | None = None,
        read_body: ReadBody = read_json_object,
    ) -> Handler:
        """The handler of an endpoint.

        Args:
            answer: answers an authenticated request.
            read: translates a body to the canonical request, or raises HTTPError; it does not
                change the body.
            expand: returns the body with what it refers to; it does not change the body.
            read_body: reads the body.
        """

        async def handle(exchange: Exchange) -> web.StreamResponse:
            key = self._key_of(exchange)
            if key is None:
                return await self._answer(exchange, answer, read_body, read, None, expand)
            exchange.key = key.name
            limits = self._access.limits
            await limits.acquire(key, exchange.clock())
            try:
                return await self._answer(exchange, answer, read_body, read, key, expand)
            finally:
                limits.release(key, exchange.tokens, exchange.cost, exchange.clock())

        return handle

    def authenticated(self, answer: Handler) -> Handler:
        """The handler of an endpoint that names no model, for clients with a key."""

        async def handle(exchange: Exchange) -> web.StreamResponse:
            key = self._key_of(exchange)
            exchange.key = None if key is None else key.name
            return await answer(exchange)

        return handle

    def admin_handler(self, answer: Answer) -> Handler:
        """The handler of the console's playground: for admins, without the limits of a key.

        Args:
            answer: answers an authenticated request.
        """

        async def handle(exchange: Exchange) -> web.StreamResponse:
            exchange.key = self._access.authenticate_admin(exchange.request)
            return await self._answer(exchange, answer, read_json_object, _unchanged, None)

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
        self._found_by(key)(name)
        return json_response(exchange, model_entry(name, exchange.wire_format, self._created))

    async def _answer(
        self,
        exchange: Exchange,
        answer: Answer,
        read_body: ReadBody,
        read: Read,
        key: Key | None,
        expand: Expand | None = None,
    ) -> web.StreamResponse:
        body = await read_body(exchange.request, self._read_timeout)
        if expand is not None:
            body = await expand(exchange, body)
        record_model(exchange, exchange.requested_model or body.get("model"))
        translated = read(body)
        options = parse_options(
            translated.request, self._found_by(key), lambda route: self._check_route(route, key)
        )
        only = await self._made.providers_for(body, exchange.key or "")
        if only is not None:
            options = replace(options, only=only)
        client = exchange.client_request = _client_request(exchange, body, options, translated)
        exchange.counts_tokens = key is not None and key.tokens_per_minute is not None
        cut = False
        try:
            with client.current():
                return await answer(self._router, options, exchange)
        except (asyncio.CancelledError, ConnectionError):
            cut = True
            raise
        except (CallFailed, ProviderError) as error:
            unknown = unknown_reference(error, references_in(body)) if only is None else None
            if unknown is None:
                raise
            raise unknown from error
        finally:
            if exchange.counts_tokens and not exchange.tokens:
                exchange.tokens = estimate(exchange, options.body, cut=cut)
            # Errors of libraries refer in cycles to frames, and these to all their callers. So the
            # content is taken out of what frames refer to.
            body.clear()
            options.body.clear()

    def _found_by(self, key: Key | None) -> Callable[[str], Target]:
        """Finds the target of a model that a key may use; errors name no routes that it may not."""
        may_use = None if key is None else key.may_use

        def find(model: str) -> Target:
            target = self.catalogue.find(model, may_use)
            check_access(key, str(target.route), "model", model)
            return target

        return find

    def _check_route(self, route: str, key: Key | None) -> None:
        try:
            self._router.explain(route)
        except UsageError:
            may_use = None if key is None else key.may_use
            message = self.catalogue.unknown_route(route, may_use)
            raise HTTPError(400, message, code="invalid_value", param="route") from None
        check_access(key, route, "route", route)

    def _key_of(self, exchange: Exchange) -> Key | None:
        request = exchange.request
        query_key = request.query.get("key") if exchange.wire_format.key_in_query else None
        return self._access.authenticate(request.headers, query_key)

    def _may_use(self, key: Key | None, name: str) -> bool:
        return key is None or key.may_use(str(self.catalogue.find(name).route))


def _client_request(
    exchange: Exchange, body: dict[str, Any], options: RequestOptions, translated: Translated
) -> ClientRequest:
    """The request as the client wrote it, without what is for the gateway alone."""
    wire_format, request = exchange.wire_format, exchange.request
    return ClientRequest(
        wire_format.name,
        {name: value for name, value in body.items() if name not in EXTENSION_FIELDS},
        {**options.body, "model": exchange.requested_model},
        losses=translated.losses,
        only_native=translated.only_native,
        headers=wire_format.own_headers(request.headers),
        query=request.rel_url.raw_query_string if wire_format.passes_query else "",
    )


def record_model(exchange: Exchange, model: object) -> None:
    """Records the model that the client named, for the log."""
    exchange.requested_model = model[:_MAX_MODEL_NAME] if isinstance(model, str) else ""
