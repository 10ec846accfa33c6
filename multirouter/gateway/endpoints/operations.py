"""Endpoints of other operations than chat: requests and answers pass unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from aiohttp import web

from multirouter.core.chat.model_names import answered_model
from multirouter.core.cost.usage import usage_of
from multirouter.gateway.endpoints.chat import json_response, pop_flag
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.routing import router_calls
from multirouter.gateway.routing.request_options import RequestOptions
from multirouter.gateway.streams.stream_relay import relay
from multirouter.providers.json_bytes import dumps
from multirouter.providers.openai.operations import OperationEvent

OPERATIONS: Mapping[str, str] = MappingProxyType(
    {
        "/v1/completions": "completions",
        "/v1/embeddings": "embeddings",
        "/v1/responses": "responses",
        "/v1/moderations": "moderations",
        "/v1/images/generations": "images",
        "/v1/rerank": "rerank",
    }
)
"""The operation of each path."""


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
    options = replace(options, operation=operation)
    if pop_flag(options.body, "stream"):
        return await relay(
            exchange,
            lambda: router_calls.open_stream(router, options, exchange),
            _Events(options.targets[0].model),
            comment_interval,
        )
    answer = await router_calls.call(router, options, exchange)
    exchange.model = str(answer.get("model") or "")
    exchange.record_usage(_total_tokens(answer))
    return json_response(exchange, answer)


class _Events:
    """Passes events on unchanged; see `stream_relay.Translator`."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.usage: Any = None

    def feed(self, event: OperationEvent) -> bytes:
        """See `Translator`."""
        self.model = answered_model(event) or self.model
        self.usage = _total_tokens(event) or self.usage
        name = f"event: {event.name}\n".encode() if event.name else b""
        lines = b"".join(b"data: %s\n" % line for line in _valid_json(event.data).split(b"\n"))
        return name + lines + b"\n"

    def end(self) -> bytes:
        """See `Translator`: the provider's own last event was passed on."""
        return b""


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
