"""Endpoint `POST /v1/messages`: Anthropic's format."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from aiohttp import web

from multirouter.gateway.endpoints.chat import (
    json_response,
    native_or,
    pop_flag,
    stream_answer,
    whole_answer,
)
from multirouter.gateway.formats.anthropic.answers import to_message
from multirouter.gateway.formats.anthropic.stream import MessageEvents
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.ids.made_ids import MadeIds
from multirouter.gateway.ids.references import message_ids_in
from multirouter.gateway.routing.request_options import RequestOptions
from multirouter.gateway.routing.router_calls import Router
from multirouter.providers.native.answers import KEY as NATIVE


async def answer_messages(
    router: Router,
    options: RequestOptions,
    exchange: Exchange,
    *,
    comment_interval: float,
    made: MadeIds,
) -> web.StreamResponse:
    """Answers one message, whole or streamed; the body is canonical already.

    The provider's containers and files are remembered, so that a later request that names one goes
    to the account that has it.

    Raises:
        Exception: see `http_error_from`.
    """

    def remember(native: Mapping[str, Any]) -> Awaitable[None] | None:
        ids = list(message_ids_in(native)) if exchange.provider is not None else []
        return made.remember(exchange.provider or "", ids, exchange.key or "") if ids else None

    if pop_flag(options.body, "stream"):
        translator = MessageEvents(exchange.id, on_native=remember)
        return await stream_answer(router, options, exchange, translator, comment_interval)
    answer = await whole_answer(router, options, exchange)
    native = NATIVE in answer
    message = native_or(answer, lambda one: to_message(one, exchange.id))
    if native and (remembered := remember(message)) is not None:
        await remembered
    return json_response(exchange, message)
