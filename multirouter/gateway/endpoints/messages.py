"""The door `POST /v1/messages`."""

from __future__ import annotations

from aiohttp import web

from multirouter.gateway.endpoints.chat import flag, json_response
from multirouter.gateway.formats.anthropic.answers import to_message
from multirouter.gateway.formats.anthropic.stream import MessageEvents
from multirouter.gateway.formats.openai import normalize as tidy
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.routing import router_calls as asking
from multirouter.gateway.routing.request_options import Wanted
from multirouter.gateway.streams.stream_relay import relay


async def answer_messages(
    router: asking.Router, wanted: Wanted, exchange: Exchange, *, keepalive: float
) -> web.StreamResponse:
    """Answers one message, whole or streamed; the request is canonical already.

    Raises:
        Exception: what `refusal_of` knows to tell.
    """
    if flag(wanted.body, "stream"):
        wanted.body["stream_options"] = {"include_usage": True}
        return await relay(
            exchange,
            lambda: asking.open_stream(router, wanted, exchange),
            MessageEvents(exchange.id),
            keepalive,
        )
    answer = tidy.whole(await asking.call(router, wanted, exchange), exchange.id)
    exchange.model = answer["model"]
    exchange.usage(answer.get("usage"))
    return json_response(exchange, to_message(answer, exchange.id))
