"""Adapters of operations whose answers may be other than JSON: audio, or text such as subtitles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from multirouter.providers.adapter import Adapter
from multirouter.providers.files.form_data import MediaAnswer

if TYPE_CHECKING:
    import aiohttp

_WEB_PAGES = frozenset({"text/html", "application/xhtml+xml"})


class TranscriptAdapter(Adapter[Any, Any]):
    """Adapter of an operation that answers JSON, or text in a format that the request names."""

    async def call(self, request: Any) -> Any:
        """Returns a whole response: parsed JSON, or a `MediaAnswer`.

        Raises:
            ProviderError: see `Adapter.call`.
        """
        response = await self._send(self._prepared(request, stream=False), request)
        async with response:
            body = await self._read_body(response)
        if _is_json(response) or not self._may_be_answer(response.content_type, body):
            return self._wire.read(self._parse_object(response, body, request), request)
        return MediaAnswer(body, response.headers.get("Content-Type", ""))

    def _may_be_answer(self, content_type: str, body: bytes) -> bool:
        """Whether a body can be a text; the transcript of silence is empty."""
        return content_type not in _WEB_PAGES and (bool(body) or content_type.startswith("text/"))


class SpeechAdapter(TranscriptAdapter):
    """Adapter of an operation that answers audio, which is streamed as it arrives."""

    async def stream(self, request: Any) -> AsyncIterator[Any]:
        """Yields parts of the audio as `MediaAnswer`; events, if the request names that format.

        Raises:
            ProviderError: see `Adapter.stream`.
        """
        if isinstance(request, Mapping) and request.get("stream_format") == "sse":
            async with aclosing(super().stream(request)) as events:  # type: ignore[type-var] # it is a generator
                async for event in events:
                    yield event
            return
        response = await self._send(self._prepared(request, stream=True), request)
        async with response:
            if not self._is_audio(response.content_type):
                body = await self._read_body(response)
                self._parse_object(response, body, request)
                raise self._errors.invalid_response("the response is no audio", response.headers)
            content_type = response.headers.get("Content-Type", "")
            reader = response.content
            while data := await self._awaited(reader.readany(), response, streaming=True):
                yield MediaAnswer(data, content_type)

    def _may_be_answer(self, content_type: str, body: bytes) -> bool:
        return bool(body) and self._is_audio(content_type)

    def _is_audio(self, content_type: str) -> bool:
        """Whether a content type can be audio. Some services send a general one, or none."""
        return not (content_type.startswith("text/") or content_type in _NO_AUDIO)


_NO_AUDIO = _WEB_PAGES | {"application/json", "application/problem+json"}


def _is_json(response: aiohttp.ClientResponse) -> bool:
    return response.content_type == "application/json" or response.content_type.endswith("+json")
