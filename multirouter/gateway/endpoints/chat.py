"""Endpoint `POST /v1/chat/completions`: OpenAI's format, which is the canonical one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from multirouter.gateway.formats.openai.normalize_answers import ChunkTranslator, normalize_answer
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import invalid_field, shown
from multirouter.gateway.http.wire_format import sse_event
from multirouter.gateway.routing import router_calls
from multirouter.gateway.routing.request_options import RequestOptions
from multirouter.gateway.streams.stream_relay import Translator, relay
from multirouter.providers.json_bytes import dumps
from multirouter.providers.native.answers import KEY as NATIVE
from multirouter.providers.native.answers import NativeAnswer

DONE = b"data: [DONE]\n\n"


class ChatEvents(ChunkTranslator):
    """Encodes a stream's chunks as events; see `stream_relay.Translator`.

    Args:
        request_id: the base of ids where a provider gave none.
        include_usage: whether the client wants the chunk with the usage.
    """

    def feed(self, chunk: Any) -> bytes:
        """See `Translator`."""
        return b"".join(map(_event, self._normalizer.feed(chunk)))

    def end(self) -> bytes:
        """See `Translator`: the usage if the client wants it, and one `[DONE]`."""
        return b"".join([*map(_event, self._normalizer.end()), DONE])


async def answer_chat(
    router: router_calls.Router,
    options: RequestOptions,
    exchange: Exchange,
    *,
    comment_interval: float,
) -> web.StreamResponse:
    """Answers one chat completion, whole or streamed.

    Raises:
        Exception: see `http_error_from`.
    """
    body = options.body
    check_messages(body)
    if pop_flag(body, "stream"):
        stream_options = body.get("stream_options") or {}
        include_usage = isinstance(stream_options, Mapping) and bool(
            stream_options.get("include_usage")
        )
        translator = ChatEvents(exchange.id, include_usage=include_usage)
        return await stream_answer(router, options, exchange, translator, comment_interval)
    body.pop("stream_options", None)
    return json_response(exchange, await whole_answer(router, options, exchange))


async def whole_answer(
    router: router_calls.Router, options: RequestOptions, exchange: Exchange
) -> dict[str, Any]:
    """Calls the router and normalizes its answer; records the model and the usage.

    An answer in the client's format has its body under `NATIVE`.

    Raises:
        Exception: see `http_error_from`.
    """
    answer = await router_calls.call(router, options, exchange)
    native = answer.pop(NATIVE, None)
    normalized = normalize_answer(answer, exchange.id)
    exchange.model = normalized["model"]
    exchange.record_usage(normalized.get("usage"))
    if native is not None:
        exchange.native_request_id = native.request_id
        normalized[NATIVE] = native
    return normalized


def native_or(answer: dict[str, Any], translate: Callable[[dict[str, Any]], Any]) -> Any:
    """The body of a provider of the client's format as it is; of another one its translation."""
    native: NativeAnswer | None = answer.pop(NATIVE, None)
    return native.body if native is not None else translate(answer)


async def stream_answer(
    router: router_calls.Router,
    options: RequestOptions,
    exchange: Exchange,
    translator: Translator,
    comment_interval: float,
) -> web.StreamResponse:
    """Relays a stream of the router; the provider always reports the usage, for the log.

    Raises:
        Exception: see `relay`.
    """
    options.body["stream_options"] = {"include_usage": True}
    return await relay(
        exchange,
        lambda: router_calls.open_stream(router, options, exchange),
        translator,
        comment_interval,
    )


def check_messages(body: Mapping[str, Any]) -> None:
    """Checks that `messages` is a list of at least one object with a role.

    Raises:
        HTTPError: 400.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid_field("messages", "must be a list of at least one message")
    for position, message in enumerate(messages):
        if not isinstance(message, dict) or not message.get("role"):
            raise invalid_field(
                f"messages[{position}]", f"must be an object with a `role`, got {shown(message)}"
            )


def pop_flag(body: dict[str, Any], name: str) -> bool:
    """Removes a boolean field from a request; False if it is missing.

    Raises:
        HTTPError: 400 for any other type.
    """
    value = body.pop(name, None)
    if value is not None and not isinstance(value, bool):
        raise invalid_field(name, f"must be true or false, got {shown(value)}")
    return bool(value)


def json_response(exchange: Exchange, answer: Any) -> web.Response:
    """A JSON answer with the headers of the exchange."""
    headers = exchange.headers()
    headers["Content-Type"] = "application/json"
    return web.Response(body=dumps(answer), headers=headers)


def _event(chunk: Any) -> bytes:
    return sse_event(dumps(chunk))
