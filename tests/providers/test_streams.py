"""Streams under load: flat memory, backpressure, and closing the upstream."""

from __future__ import annotations

import asyncio
import functools
import json
import tracemalloc
from typing import Any

import pytest

from multirouter import ProviderError
from multirouter.model import FailureKind
from multirouter.providers import Http, chat, has_content, text_of
from multirouter.providers.adapter import DRAIN_TIMEOUT
from multirouter.providers.anthropic.stream import AnthropicTranslator
from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.gemini.stream import GeminiTranslator
from multirouter.providers.openai.stream import OpenAITranslator
from multirouter.providers.transport.sse import Event
from multirouter.testing.fakes import FakeProvider

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio")]

ERRORS = ErrorFactory("up", Secret("key", "sk-abcdefghijkl"))


async def test_closing_early_closes_the_upstream(make: Any, kind: str) -> None:
    """A consumer that stops after a chunk leaves nothing running at the provider."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="endless")
        stream = provider.stream(chat("x"))
        async for chunk in stream:
            if has_content(chunk):
                break
        await stream.aclose()
        while fake.in_flight:
            await asyncio.sleep(0)
        assert fake.abandoned == 1
        await provider.aclose()


async def test_slow_consumer_pauses_the_upstream(make: Any, kind: str) -> None:
    """While nothing is read, the provider can send no more than the buffers hold."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="endless", http=Http(read_buffer=2048))
        stream = provider.stream(chat("x"))
        await anext(stream)
        before = -1
        while fake.bytes_written != before:
            before = fake.bytes_written
            await asyncio.sleep(0.01)
        assert before < 16 * 2**20
        for _ in range(before // 20):
            await anext(stream)
            if fake.bytes_written > before:
                break
        assert fake.bytes_written > before
        await stream.aclose()
        await provider.aclose()


async def test_memory_stays_flat_over_a_long_stream(make: Any, kind: str) -> None:
    """1000 chunks, 2 MB once parsed, never take more than the buffers between do (0.7 MB)."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="endless", http=Http(read_buffer=2048))
        stream = provider.stream(chat("x"))
        for _ in range(500):
            await anext(stream)
        tracemalloc.start()
        for _ in range(1000):
            await anext(stream)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await stream.aclose()
        await provider.aclose()
    assert peak < 1_200_000


async def test_large_event_is_read(make: Any, kind: str) -> None:
    """A single event of 3 MiB is read whole."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="huge-3")
        chunks = [chunk async for chunk in provider.stream(chat("x"))]
        await provider.aclose()
    assert sum(len(text_of(chunk)) for chunk in chunks) == 3 * 2**20


async def test_event_beyond_the_maximum_is_transport(make: Any, kind: str) -> None:
    """An event of more than 16 MiB ends the stream as a failure of the provider."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="huge-17")
        with pytest.raises(ProviderError, match="bytes") as caught:
            async for _ in provider.stream(chat("x")):
                pass
        await provider.aclose()
    assert caught.value.kind is FailureKind.TRANSPORT


async def test_complete_stream_has_a_drain_timeout(make: Any, monkeypatch: Any) -> None:
    """After the last finish reason a server that never closes is left after DRAIN_TIMEOUT."""
    monkeypatch.setattr("multirouter.providers.adapter.DRAIN_TIMEOUT", 0.01)
    assert DRAIN_TIMEOUT == 1.0

    async def endless(
        tail: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        chunk = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        writer.write(head + b"data: " + json.dumps(chunk).encode() + tail)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    left = asyncio.Event()
    for tail in (b"\n\n", b"\n\ndata: [DONE]\n\n"):
        server = await asyncio.start_server(functools.partial(endless, tail), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        fake = type("Fake", (), {"url": f"http://127.0.0.1:{port}"})
        provider = make("openai", fake, model="m")
        assert [text_of(chunk) async for chunk in provider.stream(chat("x"))] == ["hi"]
        await provider.aclose()
        await left.wait()
        left.clear()
        server.close()
        await server.wait_closed()


# ── OpenAI's translator, event by event ─────────────────────────────────────────────────────────


def feed(*events: Any, choices: int = 1, include_usage: bool = False) -> tuple[Any, list[Any]]:
    translator = OpenAITranslator(ERRORS, choices=choices, include_usage=include_usage)
    chunks = []
    for event in events:
        data = event if isinstance(event, bytes) else json.dumps(event).encode()
        chunks.extend(translator.feed(Event("", data)))
    return translator, chunks


def piece(content: str, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    choice = {"index": index, "delta": {"content": content}, "finish_reason": finish}
    return {"id": "x", "choices": [choice]}


def test_done_without_finish_reason_is_incomplete() -> None:
    """`[DONE]` without a finish reason ends the stream, but does not complete it."""
    translator, chunks = feed(piece("a"), b"[DONE]")
    assert (translator.ended, translator.complete, len(chunks)) == (True, False, 1)


def test_last_finish_is_held_until_usage_or_end() -> None:
    """Usage is added to the last finish; content after a finish releases it."""
    translator, chunks = feed(piece("a", "stop"))
    assert chunks == []
    (held,) = translator.finish()
    assert held == piece("a", "stop")
    usage = {"choices": [], "usage": {"total_tokens": 3}}
    translator, chunks = feed(piece("a", "stop"), usage)
    (held,) = translator.finish()
    assert held["usage"] == {"total_tokens": 3}
    translator, chunks = feed(piece("a", "stop"), piece("b", None, 1), choices=2)
    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 1]
    assert not translator.complete
    assert list(translator.finish()) == []


def test_chunks_without_choices() -> None:
    """Azure's prompt filter is skipped; usage without a held finish is dropped, or passed on."""
    usage = {"choices": [], "usage": {"total_tokens": 3}}
    _, chunks = feed({"choices": [], "prompt_filter_results": []}, usage, piece("a"))
    assert len(chunks) == 1
    _, chunks = feed(usage, include_usage=True)
    assert chunks == [usage]


@pytest.mark.parametrize(
    "data",
    [b"{", b"[1]", b"3", b"\xff", b'{"choices": [3]}', b'{"choices": 3}', b'{"choices": {"a": 1}}'],
)
def test_invalid_chunks(data: bytes) -> None:
    """Data that is not a chunk raises "invalid chunk" with the start of the data."""
    with pytest.raises(ProviderError, match="invalid chunk") as caught:
        feed(data)
    assert caught.value.kind is FailureKind.TRANSPORT


def test_deeply_nested_json_is_an_invalid_chunk() -> None:
    """JSON nested deeper than the parser allows is a failure of the provider, not a crash."""
    deep = b"[" * 100_000
    translators: list[Any] = [
        OpenAITranslator(ERRORS, choices=1, include_usage=False),
        AnthropicTranslator(ERRORS, 1, include_usage=False),
        GeminiTranslator(ERRORS, 1, "m", candidates=1, include_usage=False),
    ]
    for translator in translators:
        with pytest.raises(ProviderError, match="invalid chunk"):
            translator.feed(Event("", deep))
    assert ERRORS.http_error(500, {}, deep).kind is FailureKind.SERVER


def test_error_in_a_chunk_with_choices() -> None:
    """OpenRouter reports errors in a chunk that has choices, with a number as the code."""
    choice = {"index": 0, "delta": {}, "finish_reason": "error"}
    with pytest.raises(ProviderError) as caught:
        feed({"error": {"code": 502, "message": "upstream"}, "choices": [choice]})
    assert (caught.value.kind, caught.value.status) == (FailureKind.SERVER, 502)
