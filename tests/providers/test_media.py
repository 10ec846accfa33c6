"""Operations with files or media, without a gateway: forms, audio, and what is no audio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from multirouter import Chain, MultiProviderRouter, ProviderError, Target
from multirouter.model import FailureKind
from multirouter.providers import FormFile, MediaAnswer, OpenAI
from multirouter.providers.files.form_data import encode_form
from multirouter.testing.fakes import FakeProvider

pytestmark = [pytest.mark.backends("asyncio")]

SPEECH = {"model": "m", "voice": "a", "input": "one two"}


async def encoded(fields: dict[str, Any]) -> bytes:
    body = encode_form(fields, lambda: "B")
    data = b"".join([bytes(part) async for part in body.slices()])
    assert len(body) == len(data)
    return data


async def test_form() -> None:
    """Fields are texts, lists are repeated, None is left out, files come last and unchanged."""
    file = FormFile('a"\r\n.mp3', memoryview(b"\x00" * 200_000), "audio/mpeg\r\nX: y")
    data = await encoded({"f": file, "a[]": [1, 2.5], "none": None, "b": True, "c": "é"})
    texts, _, rest = data.partition(b"; filename=")
    fields = [
        b'--B\r\nContent-Disposition: form-data; name="a[]"\r\n\r\n1\r\n',
        b'--B\r\nContent-Disposition: form-data; name="a[]"\r\n\r\n2.5\r\n',
        b'--B\r\nContent-Disposition: form-data; name="b"\r\n\r\ntrue\r\n',
        b'--B\r\nContent-Disposition: form-data; name="c"\r\n\r\n\xc3\xa9\r\n',
        b'--B\r\nContent-Disposition: form-data; name="f"',
    ]
    assert texts == b"".join(fields)
    head = b'"a%22%0D%0A.mp3"\r\nContent-Type: audio/mpeg X: y\r\n\r\n'
    assert rest == head + b"\x00" * 200_000 + b"\r\n--B--\r\n"
    assert repr(file) == f"<FormFile {file.name!r} of 200000 bytes>"


@asynccontextmanager
async def service(data: bytes, **settings: Any) -> AsyncIterator[Any]:
    """A provider whose service answers every request with these bytes."""

    async def serve(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=data, **settings)

    app = web.Application()
    app.router.add_post("/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    provider = OpenAI("p", base_url=f"http://{host}:{port}/v1", api_key="k" * 12)
    try:
        yield provider
    finally:
        await provider.aclose()
        await runner.cleanup()


async def test_router_calls() -> None:
    """A router routes speech, whole and streamed, and a transcription with a file."""
    async with FakeProvider() as fake:
        provider = OpenAI("p", base_url=f"{fake.url}/v1", api_key="k" * 12)
        async with MultiProviderRouter([provider]) as router:

            def by(operation: str) -> Chain:
                return Chain([Target("default", "m")], operation=operation)

            whole = await router.call(SPEECH, route=by("speech"))
            async with router.stream(SPEECH, route=by("speech")) as stream:
                parts = [part async for part in stream]
            request = {"model": "m", "file": FormFile("a.wav", b"abc")}
            text = await router.call(request, route=by("transcriptions"))
            with pytest.raises(ProviderError) as caught:
                wrong = {"model": "m", "file": FormFile("a.wav", b"abc"), "x": {"y": 1}}
                await router.call(wrong, route=by("transcriptions"))
    assert (whole.data, whole.content_type) == (b"one two ", "audio/mpeg")
    assert repr(whole) == "<MediaAnswer 'audio/mpeg' of 8 bytes>"
    assert b"".join(part.data for part in parts) == whole.data
    assert text["text"] == "3 bytes of a.wav"
    assert caught.value.kind is FailureKind.REQUEST


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"<html></html>", "text/html"),
        (b"hello", "text/plain"),
        (b"{}", "application/json"),
        (b"", "audio/mpeg"),
        (b"", "application/json"),
    ],
)
async def test_what_is_no_audio(data: bytes, content_type: str) -> None:
    """A web page, a text, JSON or nothing instead of audio is a failure of the provider."""
    async with service(data, content_type=content_type) as provider:
        speech = provider.operations["speech"]
        if data != b"{}":
            with pytest.raises(ProviderError) as whole:
                await speech.call(SPEECH)
            assert whole.value.kind is FailureKind.TRANSPORT
        parts = []
        with suppress(ProviderError):
            parts = [part async for part in speech.stream(SPEECH)]
        assert not parts  # an empty stream is a failure for a router


async def test_silent_transcript() -> None:
    """The transcript of silence is an empty text; an answer of another type must not be empty."""
    request = {"model": "m", "file": FormFile("a.wav", b"abc")}
    async with service(b"", content_type="text/plain") as provider:
        answer = await provider.operations["transcriptions"].call(request)
    assert isinstance(answer, MediaAnswer)
    assert answer.data == b""
    async with service(b"", content_type="application/octet-stream") as provider:
        with pytest.raises(ProviderError):
            await provider.operations["transcriptions"].call(request)
