"""Relays a routed stream to a client: whole with its proper end, or broken for all to see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web

from multirouter.gateway.http.error_responses import Refusal, refusal_of
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.streams.sse_response import Events
from multirouter.runtime.streams.stream import Stream, StreamRestarted

_STOPPED = "the gateway stops, and this answer took longer than it may"


class Translator(Protocol):
    """Turns the chunks of one stream into a door's events.

    Attributes:
        model: the model that answers, once a chunk has told.
        usage: the usage in OpenAI's terms, once a chunk has told.
    """

    @property
    def model(self) -> str: ...  # noqa: D102 - see above
    @property
    def usage(self) -> Any: ...  # noqa: D102 - see above

    def feed(self, chunk: Any, /) -> bytes:
        """The events of a chunk, whole; b"" for none."""
        ...

    def end(self) -> bytes:
        """What ends a stream that is whole."""
        ...


async def relay(
    exchange: Exchange,
    open_: Callable[[], Awaitable[Stream[Any]]],
    translator: Translator,
    keepalive: float,
) -> web.StreamResponse:
    """Answers with a stream; one that breaks ends with an error event and a dropped connection.

    Args:
        exchange: whom to answer; notes what the stream tells.
        open_: opens the stream; what it raises before anything was sent is raised as it is.
        translator: makes the door's events.
        keepalive: seconds of silence before a comment.

    Raises:
        ConnectionError: the client has left.
        Exception: as `open_`.
    """
    events = Events(
        exchange.request,
        lambda: exchange.headers(serving=exchange.provider is not None),
        keepalive,
        exchange.shape,
    )
    try:
        with exchange.relays.entered():
            stream = await open_()
            await _relay(exchange, stream, translator, events)
            return await events.end()
    except ConnectionError:
        raise
    except asyncio.CancelledError:
        if not (exchange.relays.over and events.begun):
            raise
        return await _break_off(exchange, events, Refusal(503, _STOPPED, code="shutting_down"))
    except Exception as error:
        if not events.begun:
            raise
        return await _break_off(exchange, events, refusal_of(error))
    finally:
        events.stop()


async def _break_off(exchange: Exchange, events: Events, refusal: Refusal) -> web.StreamResponse:
    """Tells the error and drops the connection: the body lacks its last chunk for all to see."""
    exchange.why = refusal.code or "failed"
    response = await events.send(exchange.shape.event(refusal, exchange.id))
    if exchange.request.transport is not None:
        exchange.request.transport.close()
    return response


async def _relay(
    exchange: Exchange, stream: Stream[Any], translator: Translator, events: Events
) -> None:
    earlier = exchange.trail[: len(exchange.trail) - len(stream.attempts)]
    try:
        async with stream:
            async for chunk in stream:
                if isinstance(chunk, StreamRestarted):
                    raise Refusal(502, "the answer would begin anew", code="stream_interrupted")
                data = translator.feed(chunk)
                if data:
                    exchange.model = translator.model
                    await events.send(data)
        await events.send(translator.end())
    finally:
        exchange.usage(translator.usage)
        exchange.trail = [*earlier, *stream.attempts]
        exchange.provider = stream.provider
