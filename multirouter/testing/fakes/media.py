"""Audio and images of the fake server: forms with files, binary answers, and streams of events."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from multirouter.providers.files.form_data import FormFile
from multirouter.testing.fakes.formats import StreamEvent, require
from multirouter.testing.fakes.replies import HEADERS, Reply

if TYPE_CHECKING:
    from aiohttp import web

CONTENT_TYPES: Mapping[str, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
_TRANSCRIPTS = ("json", "verbose_json", "text", "srt", "vtt")
_PIXEL = base64.b64encode(b"\x89PNG fake").decode()


class MediaReply(Reply):
    """Answers one request of an operation with audio or images."""

    async def speech(self, body: Mapping[str, Any]) -> web.StreamResponse:
        """Answers with the words of the input as "audio", whole words at a time."""
        _require_fields(body, "model", "input", "voice")
        kind = body.get("response_format") or "mp3"
        require(kind in CONTENT_TYPES, f"response_format: {kind!r} is not supported")
        pieces = [f"{word} ".encode() for word in body["input"].split()]
        if body.get("stream_format") == "sse":
            deltas: list[Mapping[str, Any]] = [
                {"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}
                for piece in pieces
            ]
            return await self._events_of(deltas, {"type": "speech.audio.done"}, len(pieces))
        return await self._pieces(pieces, CONTENT_TYPES[kind])

    async def transcript(self, body: Mapping[str, Any]) -> web.StreamResponse:
        """Answers with the size and the name of the recording as its transcript."""
        from aiohttp import web

        _require_fields(body, "model", "file")
        require(isinstance(body["file"], FormFile), "file: expected a file")
        kind = body.get("response_format") or "json"
        require(kind in _TRANSCRIPTS, f"response_format: {kind!r} is not supported")
        text = f"{len(body['file'].content)} bytes of {body['file'].name}"
        words = text.split(" ")
        if body.get("stream") == "true":
            deltas: list[Mapping[str, Any]] = [
                {"type": "transcript.text.delta", "delta": word} for word in words
            ]
            done = {"type": "transcript.text.done", "text": text}
            return await self._events_of(deltas, done, len(words))
        await self._delay_first_token()
        if kind == "json":
            answer = {"text": text, "usage": {"type": "tokens", **_usage(len(words))}}
            return web.json_response(answer, headers=HEADERS)
        if kind == "verbose_json":
            more = {"task": "transcribe", "language": "english", "duration": 1.0, "segments": []}
            usage = {"type": "duration", "seconds": 1}
            return web.json_response({"text": text, **more, "usage": usage}, headers=HEADERS)
        if kind == "srt":
            text = f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n"
        elif kind == "vtt":
            text = f"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{text}\n"
        return web.Response(text=text, headers=HEADERS)

    async def images(self, body: Mapping[str, Any], name: str) -> web.StreamResponse:
        """Answers with as many images as the request names.

        Args:
            body: the request.
            name: the begin of the types of events: `image_generation` or `image_edit`.
        """
        from aiohttp import web

        count = int(body.get("n") or 1)
        if body.get("stream") in {True, "true"}:
            image = {"b64_json": _PIXEL}
            partial = [{"type": f"{name}.partial_image", "partial_image_index": 0, **image}]
            ends = [{"type": f"{name}.completed", **image} for _ in range(count)]
            return await self._events_of([*partial, *ends[1:]], ends[0], count)
        await self._delay_first_token()
        data = [{"b64_json": _PIXEL} for _ in range(count)]
        answer = {"created": 1_700_000_000, "data": data, "usage": _usage(count)}
        return web.json_response(answer, headers=HEADERS)

    async def _events_of(
        self, deltas: list[Mapping[str, Any]], last: Mapping[str, Any], count: int
    ) -> web.StreamResponse:
        response = await self._start("text/event-stream")
        events = [StreamEvent("content", delta) for delta in deltas]
        end = StreamEvent("end", {**last, "usage": _usage(count)})
        return await self._write_pieces(
            response, (event.encoded(self._newline) for event in [*events, end])
        )

    async def _pieces(self, pieces: list[bytes], content_type: str) -> web.StreamResponse:
        return await self._write_pieces(await self._start(content_type), iter(pieces))

    async def _start(self, content_type: str) -> web.StreamResponse:
        from aiohttp import web

        response = web.StreamResponse(headers={**HEADERS, "Content-Type": content_type})
        await response.prepare(self._request)
        return response

    async def _write_pieces(
        self, response: web.StreamResponse, pieces: Iterator[bytes]
    ) -> web.StreamResponse:
        for count, piece in enumerate(pieces):
            if count == 0:
                await self._delay_first_token()
            if self._fault_due(count):
                return await self._break_stream(response)
            await self._write(response, piece)
        return response


def _require_fields(body: Any, *names: str) -> None:
    require(isinstance(body, dict), "the body must be an object or a form")
    for name in names:
        require(body.get(name), f"you must provide a {name} parameter")


def _usage(tokens: int) -> dict[str, int]:
    return {"input_tokens": tokens, "output_tokens": tokens, "total_tokens": 2 * tokens}
