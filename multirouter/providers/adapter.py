"""Adapter of one provider over HTTP: sends the request, reads the response, maps every failure.

A `Wire` knows one wire format and does no I/O. An `Adapter` does the I/O and knows no format.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from multirouter.core.limits.header_reports import report_headers
from multirouter.errors import ProviderError
from multirouter.model import RequestT_contra, ResponseT_co
from multirouter.providers.canonical import ChatCompletionChunk
from multirouter.providers.error_factory import ErrorFactory, request_id_of
from multirouter.providers.json_bytes import dumps_strict, loads
from multirouter.providers.native.answers import KEY as NATIVE
from multirouter.providers.native.answers import NativeAnswer, attaching
from multirouter.providers.quirks.learned_repairs import Attempted, RequestRepairs
from multirouter.providers.transport.http import (
    BodyTooLong,
    Connections,
    Http,
    PreparedRequest,
    Signer,
    SigningFailed,
)
from multirouter.providers.transport.sse import Event, EventParser, EventTooLong, SSEParser

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

DRAIN_TIMEOUT = 1.0
"""Seconds that a complete stream may take to send what is left: usage, terminal event, EOF."""


class Translator(Protocol):
    """Translates the events of one stream into canonical chunks.

    Attributes:
        complete: whether every choice has its finish reason. The answer is then whole, and later
            errors do not change that.
        ended: whether the format's terminal event was read. The stream is not read further.
    """

    complete: bool
    ended: bool

    def feed(self, event: Event) -> Iterable[ChatCompletionChunk]:
        """Returns the chunks of one event.

        Raises:
            ProviderError: for an error event, or an event that is not of this format.
        """
        ...

    def finish(self) -> Iterable[ChatCompletionChunk]:
        """Returns the chunks held back until the end. Called only when `complete`."""
        ...


class Wire(Protocol[RequestT_contra, ResponseT_co]):
    """One wire format with a provider's address, model and key. Translates only; does no I/O."""

    def prepare(self, request: RequestT_contra, *, stream: bool) -> PreparedRequest:
        """Translates a canonical request.

        Raises:
            ProviderError: of kind `unsupported`, for what this format cannot express.
        """
        ...

    def read(self, body: dict[str, Any], request: RequestT_contra) -> ResponseT_co:
        """Translates a response body.

        Raises:
            ProviderError: of kind `transport`, for a body that is not a response of this format.
        """
        ...

    def translator(self, request: RequestT_contra) -> Translator:
        """Returns a translator for one streamed response."""
        ...


class Adapter(Generic[RequestT_contra, ResponseT_co]):
    """Calls one provider over HTTP. Its bound methods are the functions of a `Provider`.

    Args:
        wire: the wire format, with the provider's address and key.
        errors: makes the provider's errors.
        http: the connections.
        connections: this provider's use of them; None for one of its own.
        signer: adds credentials that are not part of the wire format; None for none.
        parser: makes the parser of a stream.
    """

    def __init__(
        self,
        wire: Wire[RequestT_contra, ResponseT_co],
        errors: ErrorFactory,
        http: Http,
        connections: Connections | None = None,
        *,
        signer: Signer | None = None,
        parser: Callable[[], EventParser] | None = None,
    ) -> None:
        self._wire = wire
        self._signer = signer
        self._parser = parser or SSEParser
        self._errors = errors
        self._http = http
        self._connections = connections or Connections(http)
        self._repairs = RequestRepairs(errors.provider)

    def sharing_connections(
        self, wire: Wire[Any, Any], kind: type[Adapter[Any, Any]] | None = None
    ) -> Adapter[Any, Any]:
        """An adapter of another format at the same service; `aclose` of this one closes both."""
        return (kind or Adapter)(
            wire, self._errors, self._http, self._connections, signer=self._signer
        )

    async def call(self, request: RequestT_contra) -> ResponseT_co:
        """Returns one whole response.

        Raises:
            ProviderError: when the provider fails or the request cannot be sent; see its kind.
        """
        prepared = self._prepared(request, stream=False)
        response = await self._send(prepared, request)
        async with response:
            body = await self._read_body(response)
        value = self._parse_object(response, body, request)
        answer: Any = self._wire.read(value, request)
        if prepared.native is not None:  # answers to chats, which are dicts
            id_, value = request_id_of(response.headers) or "", prepared.native.restored(value)
            answer = {**answer, NATIVE: NativeAnswer(value, id_)}
        return cast("ResponseT_co", answer)

    async def stream(self, request: RequestT_contra) -> AsyncIterator[ChatCompletionChunk]:
        """Yields the response in chunks. Ends without an error only when the answer is complete.

        Raises:
            ProviderError: of kind `interrupted` when the stream ends early; otherwise see its
                kind.
        """
        prepared = self._prepared(request, stream=True)
        with self._errors.reading_request():
            translator = self._wire.translator(request)
        response = await self._send(prepared, request)
        async with response:
            await self._check_content_type(response, request)
            parser = self._parser()
            attach = attaching(request_id_of(response.headers) or "", prepared.native)
            while not translator.ended:
                data = await self._next_bytes(response, translator)
                for event in self._parse_events(parser, data, translator):
                    chunks = self._translate(translator, event, response)
                    if chunks is None:
                        break
                    for chunk in attach(event, chunks):
                        yield chunk
                if not data:
                    break
            if not translator.complete:
                raise self._errors.truncated_stream(response.headers)
            for chunk in attach(None, translator.finish()):
                yield chunk
            await self._drain(response)

    async def aclose(self) -> None:
        """Releases the connections; the last adapter that shares them closes them.

        An adapter that is used again after that acquires them again.
        """
        await self._connections.release()

    def _prepared(self, request: RequestT_contra, *, stream: bool) -> PreparedRequest:
        """Translates the request. An invalid request is not the provider's failure."""
        if not isinstance(request, Mapping):
            raise self._errors.invalid_request(
                f"must be a dict, got {type(request).__name__}; "
                "multirouter.providers.chat() makes one from a text"
            )
        return self._wire.prepare(request, stream=stream)

    async def _send(
        self, prepared: PreparedRequest, request: RequestT_contra
    ) -> aiohttp.ClientResponse:
        self._connections.acquire()
        self._repairs.prepare(prepared)
        repairs: list[Attempted] = []
        failure: ProviderError | None = None
        try:
            while True:
                response = await self._post(prepared)
                if response.status < 300:
                    self._repairs.helped(repairs)
                    return response
                async with response:
                    body = await self._read_body(response)
                errors = self._errors.about(request)
                failure = errors.http_error(response.status, response.headers, body)
                repair = self._repairs.find(prepared, failure, body, repairs)
                if repair is None:
                    raise failure
                repairs.append(repair)
        finally:  # frames that errors refer to hold `prepared`; see `_awaited`
            prepared.body = b""
            del failure

    async def _post(self, prepared: PreparedRequest) -> aiohttp.ClientResponse:
        if self._signer is not None:
            await self._sign(self._signer, prepared)
        session = await self._http.session()
        sending = self._http.post(session, prepared.url, prepared.headers, prepared.body)
        response = await self._awaited(sending)
        report_headers(response.headers)
        return response

    async def _sign(self, signer: Signer, prepared: PreparedRequest) -> None:
        try:
            await signer(prepared)
        except SigningFailed as error:
            failure = self._errors.not_signed(str(error), transient=error.transient)
            failure.__cause__ = error
        else:
            return
        raise failure

    async def _awaited(
        self,
        waiting: Awaitable[T],
        response: aiohttp.ClientResponse | None = None,
        *,
        streaming: bool = False,
    ) -> T:
        """Awaits network I/O and maps its errors, outside of `except`: without `__context__`.

        Neither frames that tracebacks hold nor the response keep them in cycles with the request.
        """
        try:
            return await waiting
        except BodyTooLong:
            raise
        except Exception as error:  # noqa: BLE001 - aiohttp also lets OSError and ValueError out
            failure = self._errors.network_error(error, streaming=streaming)
            if response is not None:
                response.content.set_exception(ConnectionError("the response broke"))
        try:
            raise failure
        finally:
            del failure

    async def _read_body(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            return await self._awaited(self._http.read(response), response)
        except BodyTooLong as error:
            raise self._errors.invalid_response(str(error), response.headers) from None

    def _parse_object(
        self, response: aiohttp.ClientResponse, body: bytes, request: RequestT_contra
    ) -> dict[str, Any]:
        """Parses the body of a 200. An `error` object in it is raised as what it says."""
        try:
            value = loads(body)
        except (ValueError, RecursionError):
            raise self._errors.unparsable_body(response.headers, body) from None
        if isinstance(value, list) and value:
            value = value[0]
        if not isinstance(value, dict):
            raise self._errors.invalid_response("the body is not a JSON object", response.headers)
        if value.get("error"):
            raise self._errors.about(request).reported(value, response.headers)
        return value

    async def _check_content_type(
        self, response: aiohttp.ClientResponse, request: RequestT_contra
    ) -> None:
        """Reads a 200 that is not an event stream whole, because it may contain an error."""
        if response.content_type in _NOT_A_STREAM:
            body = await self._read_body(response)
            self._parse_object(response, body, request)
            raise self._errors.invalid_response(
                "the response to a stream request is JSON, not an event stream", response.headers
            )

    async def _next_bytes(self, response: aiohttp.ClientResponse, translator: Translator) -> bytes:
        """Reads the next bytes; b"" at the end.

        Once the answer is complete, a failure counts as the end.
        """
        if not translator.complete:
            return await self._awaited(response.content.readany(), response, streaming=True)
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT):
                return await response.content.readany()
        except Exception:  # noqa: BLE001 - the answer is complete, see above
            response.close()
            return b""

    def _parse_events(
        self, parser: EventParser, data: bytes, translator: Translator
    ) -> list[Event]:
        """Returns the events with data. Proxies send empty events to keep a stream alive."""
        try:
            events = parser.feed(data) if data else parser.finish()
        except EventTooLong as error:
            if not translator.complete:
                raise self._errors.invalid_response(str(error), {}) from None
            translator.ended = True
            return []
        return [event for event in events if event.data]

    def _translate(
        self, translator: Translator, event: Event, response: aiohttp.ClientResponse
    ) -> Iterable[ChatCompletionChunk] | None:
        """Returns the chunks of an event; None for an error behind the complete answer."""
        try:
            return translator.feed(event)
        except ProviderError as error:
            if translator.complete:
                translator.ended = True
                return None
            error.request_id = request_id_of(response.headers)
            raise

    async def _drain(self, response: aiohttp.ClientResponse) -> None:
        """Reads the rest of the body so that the connection can be reused, or closes it."""
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT):
                while await response.content.readany():
                    pass
        except Exception:  # noqa: BLE001 - the answer is complete, however its connection ends
            response.close()

    def __repr__(self) -> str:
        return f"<{type(self._wire).__name__} adapter>"


_NOT_A_STREAM = frozenset({"application/json", "text/html"})


encode: Callable[[Mapping[str, Any]], bytes] = dumps_strict
"""Encodes a request body as JSON; raises TypeError or ValueError for what JSON lacks."""
