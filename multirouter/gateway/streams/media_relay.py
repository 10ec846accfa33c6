"""Relays audio to a client as it arrives; a broken answer ends with a dropped connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError, http_error_from
from multirouter.providers.files.form_data import MediaAnswer
from multirouter.runtime.streams.stream import Stream


async def relay_media(
    exchange: Exchange, open_: Callable[[], Awaitable[Stream[MediaAnswer]]]
) -> web.StreamResponse:
    """Answers with the parts of a stream; before the first, a failure has its own HTTP status.

    Args:
        exchange: the request; gets the stream's attempts and provider.
        open_: opens the stream; what it raises is raised unchanged.

    Raises:
        ConnectionError: the client has disconnected.
        Exception: as `open_`.
    """
    answer = _MediaResponse(exchange)
    try:
        with exchange.active_streams.tracked():
            await _relay(exchange, await open_(), answer)
    except ConnectionError:
        raise
    except asyncio.CancelledError:
        if answer.response is None or not exchange.active_streams.cancelled:
            raise
        exchange.error_code = "shutting_down"
        answer.break_off()
    except Exception as error:
        if answer.response is None:
            raise
        exchange.error_code = http_error_from(error).code or "failed"
        answer.break_off()
    assert answer.response is not None  # noqa: S101 - a stream that serves has content
    return answer.response


class _MediaResponse:
    """The response, which starts with the first part, whose content type it has.

    Attributes:
        response: None before.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.response: web.StreamResponse | None = None
        self._exchange = exchange

    async def write(self, part: MediaAnswer) -> None:
        """Writes a part; waits while the client does not read."""
        if self.response is None:
            headers = self._exchange.headers(streaming=True)
            headers["Content-Type"] = part.content_type or "application/octet-stream"
            headers["X-Accel-Buffering"] = "no"
            self.response = web.StreamResponse(headers=headers)
            await self.response.prepare(self._exchange.request)
        await self.response.write(part.data)

    def break_off(self) -> None:
        """Drops the connection before the body's last chunk, so that the answer is not whole."""
        if self._exchange.request.transport is not None:
            self._exchange.request.transport.close()


async def _relay(exchange: Exchange, stream: Stream[Any], answer: _MediaResponse) -> None:
    earlier = exchange.trail[: len(exchange.trail) - len(stream.attempts)]
    try:
        async with stream:
            async for part in stream:
                if not isinstance(part, MediaAnswer):  # another provider began anew
                    message = "the stream was interrupted, and sent content cannot be replaced"
                    raise HTTPError(502, message, code="stream_interrupted")
                await answer.write(part)
        if answer.response is not None:
            await answer.response.write_eof()
    finally:
        exchange.trail = [*earlier, *stream.attempts]
        exchange.provider = stream.provider
        del stream  # the traceback of an error that it has holds this frame
