"""Endpoint `POST /v1/messages`: Anthropic's format."""

from __future__ import annotations

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
from multirouter.gateway.routing.request_options import RequestOptions
from multirouter.gateway.routing.router_calls import Router


async def answer_messages(
    router: Router, options: RequestOptions, exchange: Exchange, *, comment_interval: float
) -> web.StreamResponse:
    """Answers one message, whole or streamed; the body is canonical already.

    Raises:
        Exception: see `http_error_from`.
    """
    if pop_flag(options.body, "stream"):
        translator = MessageEvents(exchange.id)
        return await stream_answer(router, options, exchange, translator, comment_interval)
    answer = await whole_answer(router, options, exchange)
    return json_response(exchange, native_or(answer, lambda one: to_message(one, exchange.id)))
