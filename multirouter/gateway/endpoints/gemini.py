"""Endpoints `:generateContent` and `:streamGenerateContent` of a model: Gemini's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from multirouter.gateway.endpoints.chat import (
    json_response,
    native_or,
    stream_answer,
    whole_answer,
)
from multirouter.gateway.endpoints.token_counts import (
    content_count,
    counting,
    for_generate_content,
)
from multirouter.gateway.formats.gemini.answers import to_generate_content
from multirouter.gateway.formats.gemini.array import json_array_format
from multirouter.gateway.formats.gemini.requests import from_generate_content, includes_thoughts
from multirouter.gateway.formats.gemini.stream import GenerateContentEvents
from multirouter.gateway.formats.translated import Translated
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError, invalid_field
from multirouter.gateway.http.wire_format import GEMINI, WireFormat
from multirouter.gateway.routing.request_options import RequestOptions
from multirouter.gateway.routing.router_calls import Router

_UNSUPPORTED: Mapping[str, str] = {
    "batchEmbedContents": "use POST /v1/embeddings",
    "embedContent": "use POST /v1/embeddings",
}
"""Methods that Google's clients call as well, and why the gateway lacks them."""


class GenerateContent:
    """One request, whose URL names the model and the method.

    Args:
        request: at a path that ends in `/models/{model}:{method}`.
        comment_interval: seconds without data in a stream before a blank line is sent.

    Attributes:
        model: the model in the URL.

    Raises:
        HTTPError: 404 for an unsupported method, 400 for an unsupported `alt`.
    """

    def __init__(self, request: web.BaseRequest, comment_interval: float) -> None:
        self.model: str
        self.model, _, method = request.path.partition("/models/")[2].rpartition(":")
        self._stream = method == "streamGenerateContent"
        self._counts = method == "countTokens"
        self._thoughts = False
        self._comment_interval = comment_interval
        if not self.model or not (self._stream or self._counts or method == "generateContent"):
            default = "use `:generateContent` or `:streamGenerateContent`"
            reason = _UNSUPPORTED.get(method, default)
            message = f"the method `:{method[:40]}` is not supported: {reason}"
            raise HTTPError(404, message, code="not_found")
        alt = request.query.get("alt", "json")
        if alt not in {"json", "sse"}:
            raise invalid_field("alt", f"must be sse or json, got {alt!r}")
        self._wire_format: WireFormat = GEMINI if alt == "sse" else json_array_format()

    def read(self, body: dict[str, Any]) -> Translated:
        """The canonical request.

        Raises:
            HTTPError: 400 naming the field.
        """
        if self._counts:
            return for_generate_content(body, self.model)
        translated = from_generate_content(body, self.model)
        self._thoughts = includes_thoughts(body)
        return translated

    async def answer(
        self, router: Router, options: RequestOptions, exchange: Exchange
    ) -> web.StreamResponse:
        """Answers it, whole or streamed.

        Raises:
            Exception: see `http_error_from`.
        """
        if self._counts:
            return await counting(content_count)(router, options, exchange)
        if self._stream:
            exchange.wire_format = self._wire_format
            translator = GenerateContentEvents(
                exchange.id, thoughts=self._thoughts, wire_format=self._wire_format
            )
            return await stream_answer(
                router, options, exchange, translator, self._comment_interval
            )
        answer = await whole_answer(router, options, exchange)
        thoughts = self._thoughts
        body = native_or(answer, lambda one: to_generate_content(one, thoughts=thoughts))
        return json_response(exchange, body)
