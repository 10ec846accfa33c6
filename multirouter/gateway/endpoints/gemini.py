"""The doors `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from multirouter.gateway.endpoints.chat import json_response
from multirouter.gateway.formats.gemini.answers import to_generation
from multirouter.gateway.formats.gemini.array import as_array
from multirouter.gateway.formats.gemini.requests import from_generate, includes_thoughts
from multirouter.gateway.formats.gemini.stream import GenerationEvents
from multirouter.gateway.formats.openai import normalize as tidy
from multirouter.gateway.http.error_bodies import GEMINI, Shape
from multirouter.gateway.http.error_responses import Refusal
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.routing import router_calls as asking
from multirouter.gateway.routing.request_options import Wanted
from multirouter.gateway.streams.stream_relay import relay

_ASKED_FOR: Mapping[str, str] = {
    "batchEmbedContents": "POST /v1/embeddings has embeddings",
    "countTokens": "each provider counts in its own way, and only Gemini's has this",
    "embedContent": "POST /v1/embeddings has embeddings",
}
"""What Google's clients ask for as well, and why it is not here."""


class Generation:
    """One request, whose address names the model and what is to be done with it.

    Args:
        request: at a path that ends in `/models/{model}:{method}`.
        keepalive: seconds of silence in a stream before a blank line is sent.

    Attributes:
        model: the model that is asked for.

    Raises:
        Refusal: 404 for a method that is not here, 400 for a stream in another form than JSON.
    """

    def __init__(self, request: web.BaseRequest, keepalive: float) -> None:
        self.model: str
        self.model, _, method = request.path.partition("/models/")[2].rpartition(":")
        self._stream = method == "streamGenerateContent"
        self._thoughts = False
        self._keepalive = keepalive
        if not self.model or not (self._stream or method == "generateContent"):
            why = _ASKED_FOR.get(method, "only :generateContent and :streamGenerateContent are")
            raise Refusal(404, f":{method[:40]} is not supported here: {why}", code="not_found")
        form = request.query.get("alt", "json")
        if form not in {"json", "sse"}:
            raise Refusal(400, "alt must be sse or json", code="invalid_value", param="alt")
        self._shape: Shape = GEMINI if form == "sse" else as_array()

    def read(self, body: dict[str, Any]) -> dict[str, Any]:
        """The canonical request.

        Raises:
            Refusal: 400 naming the field.
        """
        asked = from_generate(body, self.model)
        self._thoughts = includes_thoughts(body)
        return asked

    async def answer(
        self, router: asking.Router, wanted: Wanted, exchange: Exchange
    ) -> web.StreamResponse:
        """Answers it, whole or streamed.

        Raises:
            Exception: what `refusal_of` knows to tell.
        """
        if self._stream:
            wanted.body["stream_options"] = {"include_usage": True}
            exchange.shape = self._shape
            return await relay(
                exchange,
                lambda: asking.open_stream(router, wanted, exchange),
                GenerationEvents(exchange.id, thoughts=self._thoughts, shape=self._shape),
                self._keepalive,
            )
        answer = tidy.whole(await asking.call(router, wanted, exchange), exchange.id)
        exchange.model = answer["model"]
        exchange.usage(answer.get("usage"))
        return json_response(exchange, to_generation(answer, thoughts=self._thoughts))
