"""Endpoints of other operations than chat: requests and answers pass unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from aiohttp import web

from multirouter.core.chat.model_names import answered_model
from multirouter.core.cost.usage import usage_of
from multirouter.gateway.endpoints.chat import json_response, pop_flag
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.http.wire_format import named_event
from multirouter.gateway.routing import router_calls
from multirouter.gateway.routing.request_options import RequestOptions
from multirouter.gateway.streams.media_relay import relay_media
from multirouter.gateway.streams.stream_relay import relay
from multirouter.providers.files.form_data import MediaAnswer
from multirouter.providers.json_bytes import dumps
from multirouter.providers.openai.operations import OperationEvent

OPERATIONS: Mapping[str, str] = MappingProxyType(
    {
        "/v1/completions": "completions",
        "/v1/embeddings": "embeddings",
        "/v1/responses/compact": "compact",
        "/v1/moderations": "moderations",
        "/v1/images/generations": "images",
        "/v1/images/edits": "image_edits",
        "/v1/images/variations": "image_variations",
        "/v1/audio/speech": "speech",
        "/v1/audio/transcriptions": "transcriptions",
        "/v1/audio/translations": "translations",
        "/v1/rerank": "rerank",
    }
)
"""The operation of each path."""

WITH_FILES = frozenset({"image_edits", "image_variations", "transcriptions", "translations"})
"""Operations whose requests may be forms with files."""


async def answer_operation(
    operation: str,
    router: router_calls.Router,
    options: RequestOptions,
    exchange: Exchange,
    *,
    comment_interval: float,
) -> web.StreamResponse:
    """Answers one request, whole or streamed.

    Raises:
        Exception: see `http_error_from`.
    """
    exchange.operation = operation
    options = replace(options, operation=operation)
    if operation == "speech" and options.body.get("stream_format") != "sse":
        return await relay_media(
            exchange, lambda: router_calls.open_stream(router, options, exchange)
        )
    if operation == "speech" or pop_flag(options.body, "stream"):
        return await relay(
            exchange,
            lambda: router_calls.open_stream(router, options, exchange),
            _Events(options.targets[0].model),
            comment_interval,
        )
    answer = await router_calls.call(router, options, exchange)
    if isinstance(answer, MediaAnswer):
        headers = exchange.headers()
        headers["Content-Type"] = answer.content_type
        return web.Response(body=answer.data, headers=headers)
    exchange.model = str(answer.get("model") or "")
    exchange.record_usage(_total_tokens(answer))
    return json_response(exchange, answer)


class _Events:
    """Passes events on unchanged; see `stream_relay.Translator`."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.usage: Any = None
        self.holds: Callable[[Any], bool] | None = None

    def feed(self, event: OperationEvent) -> bytes:
        """See `Translator`."""
        self.model = answered_model(event) or self.model
        self.usage = _total_tokens(event) or self.usage
        return named_event(event.name, _valid_json(event.data))

    def end(self) -> bytes:
        """See `Translator`: the provider's own last event was passed on."""
        return b""

    def error(self, error: HTTPError) -> bytes | None:
        """See `Translator`."""
        return None


def _total_tokens(answer: Any) -> dict[str, int] | None:
    """The tokens that an answer or an event reports, in OpenAI's terms; None without any."""
    usage = usage_of(answer)
    return None if usage is None else {"total_tokens": usage.input + usage.output}


def _valid_json(data: bytes) -> bytes:
    """The same without NaN and Infinity, which only Python's clients parse."""
    if b"NaN" not in data and b"Infinity" not in data:
        return data
    try:
        return dumps(json.loads(data, parse_constant=lambda _: None))
    except ValueError:
        return data
