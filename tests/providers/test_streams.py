"""Streams under load: memory stays flat, slow consumers hold back, early leavers close."""

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
from multirouter.providers.adapter import LINGER
from multirouter.providers.anthropic.stream import AnthropicTranslator
from multirouter.providers.failures import Failures
from multirouter.providers.gemini.stream import GeminiTranslator
from multirouter.providers.openai.stream import OpenAITranslator
from multirouter.providers.secret import Secret
from multirouter.providers.sse import Event
from multirouter.testing.fakes import FakeProvider

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio")]

FAILURES = Failures("up", Secret("key", "sk-abcdefghijkl"))


async def test_leaving_early_closes_the_upstream(make: Any, kind: str) -> None:
    """A consumer that stops after a chunk leaves nothing running at the provider."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="endless")
        stream = provider.stream(chat("x"))
        async for chunk in stream:
            if has_content(chunk):
                break
        await stream.aclose()
        while fake.open:
            await asyncio.sleep(0)
        assert fake.left == 1
        await provider.aclose()


async def test_a_slow_consumer_holds_back_the_upstream(make: Any, kind: str) -> None:
    """While nobody reads, the provider can send no more than the buffers between take."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="endless", http=Http(read_buffer=2048))
        stream = provider.stream(chat("x"))
        await anext(stream)
        before = -1
        while fake.written != before:
            before = fake.written
            await asyncio.sleep(0.01)
        assert before < 16 * 2**20
        for _ in range(before // 20):
            await anext(stream)
            if fake.written > before:
                break
        assert fake.written > before
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


async def test_one_piece_of_many_megabytes(make: Any, kind: str) -> None:
    """A single event of 3 MiB arrives whole."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="huge-3")
        chunks = [chunk async for chunk in provider.stream(chat("x"))]
        await provider.aclose()
    assert sum(len(text_of(chunk)) for chunk in chunks) == 3 * 2**20


async def test_a_piece_beyond_the_bound_is_rubbish(make: Any, kind: str) -> None:
    """An event of more than 16 MiB ends the stream as the provider's failure."""
    async with FakeProvider() as fake:
        provider = make(kind, fake, model="huge-17")
        with pytest.raises(ProviderError, match="bytes") as caught:
            async for _ in provider.stream(chat("x")):
                pass
        await provider.aclose()
    assert caught.value.kind is FailureKind.TRANSPORT


async def test_a_whole_stream_waits_for_no_goodbye(make: Any, monkeypatch: Any) -> None:
    """After the last finish reason a server that never closes is left within the bound."""
    monkeypatch.setattr("multirouter.providers.adapter.LINGER", 0.01)
    assert LINGER == 1.0

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


def feed(*events: Any, choices: int = 1, usage_asked: bool = False) -> tuple[Any, list[Any]]:
    translator = OpenAITranslator(FAILURES, choices=choices, usage_asked=usage_asked)
    chunks = []
    for event in events:
        data = event if isinstance(event, bytes) else json.dumps(event).encode()
        chunks.extend(translator.feed(Event("", data)))
    return translator, chunks


def piece(content: str, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    choice = {"index": index, "delta": {"content": content}, "finish_reason": finish}
    return {"id": "x", "choices": [choice]}


def test_done_alone_proves_nothing() -> None:
    """`[DONE]` without a finish reason is an end, not a proof."""
    translator, chunks = feed(piece("a"), b"[DONE]")
    assert (translator.ended, translator.complete, len(chunks)) == (True, False, 1)


def test_a_finish_is_held_until_the_usage_or_the_end() -> None:
    """Usage joins the last finish; content after a finish lets it go on."""
    translator, chunks = feed(piece("a", "stop"))
    assert chunks == []
    (hold_changed,) = translator.finish()
    assert hold_changed == piece("a", "stop")
    usage = {"choices": [], "usage": {"total_tokens": 3}}
    translator, chunks = feed(piece("a", "stop"), usage)
    (hold_changed,) = translator.finish()
    assert hold_changed["usage"] == {"total_tokens": 3}
    translator, chunks = feed(piece("a", "stop"), piece("b", None, 1), choices=2)
    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 1]
    assert not translator.complete
    assert list(translator.finish()) == []


def test_chunks_without_choices() -> None:
    """Azure's prompt filter is skipped; usage without a held finish goes nowhere or as asked."""
    usage = {"choices": [], "usage": {"total_tokens": 3}}
    _, chunks = feed({"choices": [], "prompt_filter_results": []}, usage, piece("a"))
    assert len(chunks) == 1
    _, chunks = feed(usage, usage_asked=True)
    assert chunks == [usage]


@pytest.mark.parametrize(
    "data",
    [b"{", b"[1]", b"3", b"\xff", b'{"choices": [3]}', b'{"choices": 3}', b'{"choices": {"a": 1}}'],
)
def test_broken_chunks(data: bytes) -> None:
    """What is no chunk is named a broken chunk, shortened."""
    with pytest.raises(ProviderError, match="broken chunk") as caught:
        feed(data)
    assert caught.value.kind is FailureKind.TRANSPORT


def test_bottomless_json_is_a_broken_chunk() -> None:
    """JSON nested deeper than any reader goes is the provider's failure, not a crash."""
    deep = b"[" * 100_000
    translators: list[Any] = [
        OpenAITranslator(FAILURES, choices=1, usage_asked=False),
        AnthropicTranslator(FAILURES, 1, usage_asked=False),
        GeminiTranslator(FAILURES, 1, "m", candidates=1, usage_asked=False),
    ]
    for translator in translators:
        with pytest.raises(ProviderError, match="broken chunk"):
            translator.feed(Event("", deep))
    assert FAILURES.answered(500, {}, deep).kind is FailureKind.SERVER


def test_an_error_beside_choices_counts() -> None:
    """OpenRouter tells errors in a chunk that has choices, and a number as its code."""
    choice = {"index": 0, "delta": {}, "finish_reason": "error"}
    with pytest.raises(ProviderError) as caught:
        feed({"error": {"code": 502, "message": "upstream"}, "choices": [choice]})
    assert (caught.value.kind, caught.value.status) == (FailureKind.SERVER, 502)
