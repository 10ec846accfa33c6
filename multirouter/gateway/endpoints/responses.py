"""Endpoint `POST /v1/responses`: OpenAI's Responses format, with any provider."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from multirouter.gateway.endpoints.chat import (
    json_response,
    native_or,
    pop_flag,
    stream_answer,
    whole_answer,
)
from multirouter.gateway.endpoints.stored_responses import StoredResponses
from multirouter.gateway.formats.responses.requests import from_responses
from multirouter.gateway.formats.responses.stream import ResponseEvents, to_response
from multirouter.gateway.formats.responses.tools import Tools
from multirouter.gateway.formats.translated import Translated
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.routing.request_options import RequestOptions
from multirouter.gateway.routing.router_calls import Router
from multirouter.providers.native.answers import KEY as NATIVE


class ResponsesRequest:
    """One request.

    Args:
        comment_interval: seconds without data in a stream before a comment is sent.
        stored: keeps the response.

    Attributes:
        final: the whole response, once it has ended; None before, and if it broke.
    """

    def __init__(self, comment_interval: float, stored: StoredResponses) -> None:
        self._comment_interval = comment_interval
        self._stored = stored
        self._body: dict[str, Any] = {}
        self._tools = Tools()
        self.final: dict[str, Any] | None = None

    def read(self, body: dict[str, Any]) -> Translated:
        """The canonical request.

        Raises:
            HTTPError: 400 naming the field.
        """
        translated = from_responses(body)
        self._body, self._tools = body, translated.tools
        return Translated(translated.request, translated.losses, translated.only_native)

    async def answer(
        self, router: Router, options: RequestOptions, exchange: Exchange
    ) -> web.StreamResponse:
        """Answers it, whole or streamed.

        Raises:
            Exception: see `http_error_from`.
        """
        if pop_flag(options.body, "stream"):
            translator = ResponseEvents(
                exchange.id,
                self._body,
                self._tools,
                on_native=lambda event: self._stored.begun(exchange, self._body, event.data),
            )
            sent = await stream_answer(
                router, options, exchange, translator, self._comment_interval
            )
            self.final, native = translator.final, translator.is_native
            await self._stored.keep(exchange, self._body, self.final, native=native)
            return sent
        answer = await whole_answer(router, options, exchange)
        native = NATIVE in answer
        body = native_or(answer, lambda one: to_response(one, exchange.id, self._body, self._tools))
        await self._stored.keep(exchange, self._body, body, native=native)
        return json_response(exchange, body)
