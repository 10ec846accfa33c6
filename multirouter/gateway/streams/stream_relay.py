"""Relays a routed stream to a client; a broken stream ends with an error event."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web

from multirouter.gateway.http.event_socket import EventSocket
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError, http_error_from
from multirouter.gateway.http.unreported_usage import characters_of
from multirouter.gateway.streams.sse_response import EventStreamResponse
from multirouter.providers.native.answers import request_id_of
from multirouter.runtime.streams.stream import Stream, StreamRestarted

_SHUTTING_DOWN = "the gateway is shutting down, and the stream exceeded the drain timeout"


EventResponse = EventStreamResponse | EventSocket


class Translator(Protocol):
    """Translates the chunks of one stream to an endpoint's events.

    Attributes:
        model: the model that answers, once a chunk has named it.
        usage: the usage in OpenAI's terms, once a chunk has reported it.
        holds: whether a chunk, and all behind it, is sent only when the answer is complete; None
            sends all as they come.
    """

    @property
    def model(self) -> str: ...  # noqa: D102 - see above
    @property
    def usage(self) -> Any: ...  # noqa: D102 - see above
    @property
    def holds(self) -> Callable[[Any], bool] | None: ...  # noqa: D102 - see above

    def feed(self, chunk: Any, /) -> bytes:
        """The whole events of a chunk; b"" for none."""
        ...

    def end(self) -> bytes:
        """The events that end a complete stream."""
        ...

    def error(self, error: HTTPError, /) -> bytes | None:
        """The events that end a broken stream; None for the error event of the wire format."""
        ...


async def relay(
    exchange: Exchange,
    open_: Callable[[], Awaitable[Stream[Any]]],
    translator: Translator,
    comment_interval: float,
) -> web.StreamResponse:
    """Answers with a stream; a broken one ends with an error event and a dropped connection.

    Args:
        exchange: the request; gets the stream's model, usage, attempts and provider.
        open_: opens the stream; what it raises before data was sent is raised unchanged.
        translator: makes the endpoint's events.
        comment_interval: seconds without data before a comment.

    Raises:
        ConnectionError: the client has disconnected.
        Exception: as `open_`.
    """
    response = exchange.socket or EventStreamResponse(
        exchange.request,
        lambda: exchange.headers(streaming=exchange.provider is not None),
        comment_interval,
        exchange.wire_format,
    )
    try:
        with exchange.active_streams.tracked():
            await _relay(exchange, await open_(), translator, response)
            return await response.end()
    except ConnectionError:
        raise
    except asyncio.CancelledError:
        if not (exchange.active_streams.cancelled and response.started):
            raise
        error = HTTPError(503, _SHUTTING_DOWN, code="shutting_down")
        return await _break_off(exchange, response, error, translator)
    except Exception as error:
        if not response.started:
            raise
        return await _break_off(exchange, response, http_error_from(error), translator)
    finally:
        response.stop_comments()


async def _break_off(
    exchange: Exchange, response: EventResponse, error: HTTPError, translator: Translator
) -> web.StreamResponse:
    """Ends with the error, in a form that no client takes for a complete answer."""
    exchange.error_code = error.code or "failed"
    events = translator.error(error) or exchange.wire_format.error_event(error, exchange.id)
    return await response.break_off(events)


async def _relay(
    exchange: Exchange,
    stream: Stream[Any],
    translator: Translator,
    response: EventResponse,
) -> None:
    earlier = exchange.trail[: len(exchange.trail) - len(stream.attempts)]
    try:
        async with stream:
            if translator.holds is not None:
                stream.hold_back(translator.holds)
            async for chunk in response.read(stream):
                if isinstance(chunk, StreamRestarted):
                    message = "the stream was interrupted, and sent content cannot be replaced"
                    raise HTTPError(502, message, code="stream_interrupted")
                if not response.started:  # only its headers have it
                    id_ = exchange.native_request_id or request_id_of(chunk)
                    exchange.native_request_id = id_
                if exchange.counts_tokens:
                    exchange.delivered += characters_of(chunk)
                data = translator.feed(chunk)
                if data:
                    exchange.model = translator.model
                    await response.add(data)
        await response.send(translator.end())
    finally:
        exchange.record_usage(translator.usage)
        exchange.trail = [*earlier, *stream.attempts]
        exchange.provider = stream.provider
        del stream  # the traceback of an error that it has holds this frame
