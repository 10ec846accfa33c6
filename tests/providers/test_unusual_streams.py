"""Unusual streams of services and proxies, from the socket to the last chunk."""

from __future__ import annotations

import gzip
import json
from functools import partial
from typing import Any

import pytest

from multirouter import ProviderError
from multirouter.model import FailureKind
from multirouter.providers import adapter, chat, text_of
from multirouter.providers.transport.sse import SSEParser

from .test_completeness import EVENTS, WHOLE, events, served

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio")]

GZIP = "Content-Encoding: gzip"


async def read(make: Any, kind: str, body: bytes, *headers: str) -> list[Any]:
    """Returns the chunks that an adapter makes of these bytes."""
    async with served(body, EVENTS, *headers) as up:
        provider = make(kind, up, model="m")
        try:
            return [chunk async for chunk in provider.stream(chat("x"))]
        finally:
            await provider.aclose()


def is_whole(chunks: list[Any], text: str = "hi") -> bool:
    return (
        "".join(map(text_of, chunks)) == text
        and chunks[-1]["choices"][0]["finish_reason"] == "stop"
    )


@pytest.mark.parametrize(
    "between",
    [b": ping\n\n", b"data:\n\n", b"data: \n\n", b"event: ping\n\n", b"retry: 5\nid: 7\n\n", b"\n"],
)
async def test_events_without_data_are_skipped(make: Any, kind: str, between: bytes) -> None:
    """Comments, empty data, names and numbers between events only keep the stream alive."""
    body = between + between.join(events(event) for event in WHOLE[kind]) + between
    assert is_whole(await read(make, kind, body))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
async def test_every_line_ending_and_a_missing_last_one(make: Any, kind: str, end: bytes) -> None:
    """A BOM, one kind of line ending throughout, and no blank line after the last event."""
    body = b"\xef\xbb\xbf" + events(*WHOLE[kind]).rstrip(b"\n").replace(b"\n", end)
    assert is_whole(await read(make, kind, body))


async def test_event_of_several_data_lines(make: Any, kind: str) -> None:
    """JSON may be spread over `data:` lines, which are joined by line feeds."""
    body = b"".join(
        b"".join(b"data: %s\n" % line for line in json.dumps(event, indent=1).encode().split(b"\n"))
        + b"\n"
        for event in WHOLE[kind]
    )
    assert is_whole(await read(make, kind, body))


async def test_oversized_event_after_completion_ends_the_stream(
    make: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event beyond the maximum fails an incomplete answer, and ends a complete one."""
    monkeypatch.setattr(adapter, "SSEParser", partial(SSEParser, 20_000))
    flood, complete = b"data: " + b"x" * 200_000, events(*WHOLE[kind])
    assert is_whole(await read(make, kind, complete + b": \n" * 50_000 + flood))
    with pytest.raises(ProviderError, match="20000 bytes"):
        await read(make, kind, flood + complete)


async def test_compressed_streams(make: Any, kind: str) -> None:
    """A gzipped stream is read; one that is truncated before completion is interrupted."""
    noise = b"".join(b": %d\n\n" % (n * 7919) for n in range(20_000))
    *begun, last = WHOLE[kind]
    body = gzip.compress(events(*begun) + noise + events(last))
    assert is_whole(await read(make, kind, body, GZIP))
    with pytest.raises(ProviderError) as caught:
        await read(make, kind, body[: len(body) // 2], GZIP)
    assert caught.value.kind is FailureKind.INTERRUPTED
    rest = gzip.compress(events(*begun, last) + noise)
    assert is_whole(await read(make, kind, rest[: len(rest) - 9], GZIP))


async def test_wrong_content_encoding_is_a_failure(make: Any, kind: str) -> None:
    """Plain bytes declared as gzip are a failure of the provider."""
    with pytest.raises(ProviderError) as caught:
        await read(make, kind, events(*WHOLE[kind]), GZIP)
    assert caught.value.kind in (FailureKind.TRANSPORT, FailureKind.INTERRUPTED)


@pytest.mark.parametrize("requested", [True, False])
async def test_usage_comes_once(make: Any, requested: bool) -> None:
    """Usage is in its own chunk with include_usage, otherwise in the last chunk with a finish."""
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    body = events(*WHOLE["openai"], usage, b"[DONE]", b"[DONE]")
    async with served(body, EVENTS) as up:
        provider = make("openai", up, model="m")
        request = chat("x", stream_options={"include_usage": True} if requested else None)
        chunks = [chunk async for chunk in provider.stream(request)]
        await provider.aclose()
    with_usage = [chunk for chunk in chunks if chunk.get("usage")]
    assert with_usage == chunks[-1:]
    assert bool(chunks[-1]["choices"]) is not requested
