"""The door `POST /v1/chat/completions`: OpenAI's format, which is the canonical one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from multirouter.gateway.formats.openai import normalize as tidy
from multirouter.gateway.http.error_responses import Refusal
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.routing import router_calls as asking
from multirouter.gateway.routing.request_options import Wanted
from multirouter.gateway.streams.stream_relay import relay
from multirouter.providers.json_bytes import dumps

DONE = b"data: [DONE]\n\n"


class ChatEvents(tidy.Tidied):
    """A stream's chunks as events, one id, time and model in all of them.

    Args:
        request_id: what ids are made of where a provider gave none.
        usage_asked: whether the client wants the chunk with the usage.
    """

    def feed(self, chunk: Any) -> bytes:
        """See `Translator`."""
        return b"".join(map(_event, self._tidy.feed(chunk)))

    def end(self) -> bytes:
        """See `Translator`: the usage where it was asked for, and the one `[DONE]`."""
        return b"".join([*map(_event, self._tidy.end()), DONE])


async def answer_chat(
    router: asking.Router, wanted: Wanted, exchange: Exchange, *, keepalive: float
) -> web.StreamResponse:
    """Answers one chat completion, whole or streamed.

    Raises:
        Exception: what `refusal_of` knows to tell.
    """
    body = wanted.body
    check_messages(body)
    if flag(body, "stream"):
        options = body.get("stream_options") or {}
        asked = isinstance(options, Mapping) and bool(options.get("include_usage"))
        body["stream_options"] = {"include_usage": True}
        return await relay(
            exchange,
            lambda: asking.open_stream(router, wanted, exchange),
            ChatEvents(exchange.id, usage_asked=asked),
            keepalive,
        )
    body.pop("stream_options", None)
    answer = tidy.whole(await asking.call(router, wanted, exchange), exchange.id)
    exchange.model = answer["model"]
    exchange.usage(answer.get("usage"))
    return json_response(exchange, answer)


def check_messages(body: Mapping[str, Any]) -> None:
    """Refuses what no provider could make sense of.

    Raises:
        Refusal: 400 naming the field.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "messages: at least one is required", param="messages")
    if not all(isinstance(message, dict) and message.get("role") for message in messages):
        raise Refusal(400, "messages: each must be an object with a role", param="messages")


def flag(body: dict[str, Any], name: str) -> bool:
    """Takes a field out of a request that is true, false or not there.

    Raises:
        Refusal: 400 for anything else.
    """
    given = body.pop(name, None)
    if given is not None and not isinstance(given, bool):
        raise Refusal(400, f"{name} must be true or false", code="invalid_value", param=name)
    return bool(given)


def json_response(exchange: Exchange, answer: Any) -> web.Response:
    """An answer with the headers that say where it came from."""
    headers = exchange.headers()
    headers["Content-Type"] = "application/json"
    return web.Response(body=dumps(answer), headers=headers)


def _event(chunk: Any) -> bytes:
    return b"data: %s\n\n" % dumps(chunk)
