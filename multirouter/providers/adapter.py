"""What all adapters do alike: send, read, judge, and tell a whole stream from a cut one.

A `Wire` knows one format and does no I/O; an `Adapter` does the I/O and knows no format.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from multirouter.errors import ProviderError
from multirouter.model import RequestT_contra, ResponseT_co
from multirouter.providers.canonical import ChatCompletionChunk
from multirouter.providers.failures import Failures, request_id_of
from multirouter.providers.http import BodyTooLong, Http
from multirouter.providers.json_bytes import dumps_strict, loads
from multirouter.providers.sse import Event, EventTooLong, SSEParser

if TYPE_CHECKING:
    import aiohttp


T = TypeVar("T")

LINGER = 1.0
"""Seconds that a stream proven complete may take to say goodbye (usage, terminal event, EOF)."""


class Translator(Protocol):
    """One stream's events into canonical chunks.

    Attributes:
        complete: every choice has its finish reason: the answer is whole, whatever comes.
        ended: the format's terminal event was read; nothing more is worth waiting for.
    """

    complete: bool
    ended: bool

    def feed(self, event: Event) -> Iterable[ChatCompletionChunk]:
        """The chunks of one event. Raises ProviderError for an error event or rubbish."""
        ...

    def finish(self) -> Iterable[ChatCompletionChunk]:
        """What was held back until the end. Called only when `complete`."""
        ...


class Prepared:
    """One request, translated and ready to send.

    Attributes:
        url: where to.
        headers: all but the content type; they hold the key, so they are never shown.
        body: JSON.
    """

    __slots__ = ("body", "headers", "url")

    def __init__(self, url: str, headers: dict[str, str], body: bytes) -> None:
        self.url: str = url
        self.headers: dict[str, str] = headers
        self.body: bytes = body

    def __repr__(self) -> str:
        return f"<request of {len(self.body)} bytes to {self.url}>"


class Wire(Protocol[RequestT_contra, ResponseT_co]):
    """One format: pure translation, with a provider's name, model and key."""

    def prepare(self, request: RequestT_contra, *, stream: bool) -> Prepared:
        """The request on the wire. Raises ProviderError for what cannot be expressed."""
        ...

    def read(self, body: dict[str, Any], request: RequestT_contra) -> ResponseT_co:
        """The canonical response. Raises ProviderError for a body that is none."""
        ...

    def translator(self, request: RequestT_contra) -> Translator:
        """Reads one streamed response."""
        ...


class Adapter(Generic[RequestT_contra, ResponseT_co]):
    """A provider over HTTP: its bound methods fill the slots of a `Provider`.

    Args:
        wire: the format, with the provider's address and key.
        failures: makes the provider's errors.
        http: the connections.
    """

    def __init__(
        self, wire: Wire[RequestT_contra, ResponseT_co], failures: Failures, http: Http
    ) -> None:
        self._wire = wire
        self._failures = failures
        self._http = http
        self._sharing = False

    async def call(self, request: RequestT_contra) -> ResponseT_co:
        """One whole answer.

        Raises:
            ProviderError: see its kind.
        """
        response = await self._send(self._prepared(request, stream=False))
        async with response:
            body = await self._body_of(response)
        return self._wire.read(self._object_in(response, body), request)

    async def stream(self, request: RequestT_contra) -> AsyncIterator[ChatCompletionChunk]:
        """The answer in chunks; it ends without an error only when it is proven complete.

        Raises:
            ProviderError: `interrupted` when it breaks off, else see its kind.
        """
        prepared = self._prepared(request, stream=True)
        with self._failures.malformed():
            translator = self._wire.translator(request)
        response = await self._send(prepared)
        async with response:
            await self._must_be_events(response)
            parser = SSEParser()
            while not translator.ended:
                data = await self._next(response, translator)
                for event in self._events_in(parser, data, translator):
                    for chunk in self._chunks_of(translator, event, response):
                        yield chunk
                if not data:
                    break
            if not translator.complete:
                raise self._failures.unproven(response.headers)
            for chunk in translator.finish():
                yield chunk
            await self._goodbye(response)

    async def aclose(self) -> None:
        """Leaves the connections; the last adapter that shares them closes them.

        Used again after that, it shares them again.
        """
        if self._sharing:
            self._sharing = False
            await self._http.leave()

    def _prepared(self, request: RequestT_contra, *, stream: bool) -> Prepared:
        """The request on the wire; whatever is wrong with it, its provider is not to blame."""
        if not isinstance(request, Mapping):
            kind = type(request).__name__
            why = f"must be a dict, not {kind}: multirouter.providers.chat() makes one from a text"
            raise self._failures.inexpressible("the request", why)
        return self._wire.prepare(request, stream=stream)

    async def _send(self, prepared: Prepared) -> aiohttp.ClientResponse:
        if not self._sharing:
            self._sharing = True
            self._http.share()
        session = await self._http.session()
        response = await self._reached(
            self._http.post(session, prepared.url, prepared.headers, prepared.body)
        )
        if response.status >= 300:
            async with response:
                body = await self._body_of(response)
            raise self._failures.answered(response.status, response.headers, body)
        return response

    async def _reached(self, waiting: Awaitable[T], *, streaming: bool = False) -> T:
        """What was awaited; a failure is raised outside of `except`, so that no context stays."""
        try:
            return await waiting
        except BodyTooLong:
            raise
        except Exception as error:  # noqa: BLE001 - aiohttp lets OSError and ValueError out too
            failure = self._failures.unreached(error, streaming=streaming)
        raise failure

    async def _body_of(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            return await self._reached(self._http.read(response))
        except BodyTooLong as error:
            raise self._failures.rubbish(str(error), response.headers) from None

    def _object_in(self, response: aiohttp.ClientResponse, body: bytes) -> dict[str, Any]:
        try:
            value = loads(body)
        except (ValueError, RecursionError):
            raise self._failures.not_json(response.headers, body) from None
        if isinstance(value, list) and value:
            value = value[0]
        if not isinstance(value, dict):
            raise self._failures.rubbish("the body is no JSON object", response.headers)
        if value.get("error"):
            raise self._failures.told(value, response.headers)
        return value

    async def _must_be_events(self, response: aiohttp.ClientResponse) -> None:
        """A 200 that is no event stream is read whole: it may say what is wrong."""
        if response.content_type in _NO_STREAM:
            body = await self._body_of(response)
            self._object_in(response, body)
            raise self._failures.rubbish("a stream was asked for, and JSON came", response.headers)

    async def _next(self, response: aiohttp.ClientResponse, translator: Translator) -> bytes:
        """The next bytes, b"" at the end; once the answer is whole, a bad end is an end too."""
        if not translator.complete:
            return await self._reached(response.content.readany(), streaming=True)
        try:
            async with asyncio.timeout(LINGER):
                return await response.content.readany()
        except Exception:  # noqa: BLE001 - see above
            response.close()
            return b""

    def _events_in(self, parser: SSEParser, data: bytes, translator: Translator) -> list[Event]:
        """The events that say something: empty ones are a proxy's way to keep a stream alive."""
        try:
            events = parser.feed(data) if data else parser.finish()
        except EventTooLong as error:
            if not translator.complete:
                raise self._failures.rubbish(str(error), {}) from None
            translator.ended = True
            return []
        return [event for event in events if event.data]

    def _chunks_of(
        self, translator: Translator, event: Event, response: aiohttp.ClientResponse
    ) -> Iterable[ChatCompletionChunk]:
        """The chunks of an event; once the answer is whole, an error is its end."""
        try:
            return translator.feed(event)
        except ProviderError as error:
            if translator.complete:
                translator.ended = True
                return ()
            error.request_id = request_id_of(response.headers)
            raise

    async def _goodbye(self, response: aiohttp.ClientResponse) -> None:
        """Reads the body's end, so that the connection can serve again; or drops it."""
        try:
            async with asyncio.timeout(LINGER):
                while await response.content.readany():
                    pass
        except Exception:  # noqa: BLE001 - the answer is whole, however its connection ends
            response.close()

    def __repr__(self) -> str:
        return f"<{type(self._wire).__name__} adapter>"


_NO_STREAM = frozenset({"application/json", "text/html"})


def encode(value: Mapping[str, Any]) -> bytes:
    """JSON for a request's body.

    Raises:
        TypeError: and ValueError, for what JSON cannot hold; NaN is no JSON.
    """
    return dumps_strict(value)
