"""Streams as odd as services and their proxies make them, from the socket to the last chunk."""

from __future__ import annotations

import gzip
import json
from functools import partial
from typing import Any

import pytest

from multirouter import ProviderError
from multirouter.model import FailureKind
from multirouter.providers import adapter, chat, text_of
from multirouter.providers.sse import SSEParser

from .test_ends import EVENTS, WHOLE, events, served

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio")]

GZIP = "Content-Encoding: gzip"


async def read(make: Any, kind: str, body: bytes, *headers: str) -> list[Any]:
    """The chunks that an adapter makes of these bytes."""
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
async def test_what_says_nothing_is_skipped(make: Any, kind: str, between: bytes) -> None:
    """Comments, empty data, names and numbers between the events keep a stream alive, no more."""
    body = between + between.join(events(said) for said in WHOLE[kind]) + between
    assert is_whole(await read(make, kind, body))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
async def test_lines_end_in_any_way_and_the_last_one_not_at_all(
    make: Any, kind: str, end: bytes
) -> None:
    """A BOM at the start, one kind of line end throughout, and no blank line after the last."""
    body = b"\xef\xbb\xbf" + events(*WHOLE[kind]).rstrip(b"\n").replace(b"\n", end)
    assert is_whole(await read(make, kind, body))


async def test_an_event_in_many_lines(make: Any, kind: str) -> None:
    """JSON may be spread over `data:` lines, which line feeds join."""
    body = b"".join(
        b"".join(b"data: %s\n" % line for line in json.dumps(said, indent=1).encode().split(b"\n"))
        + b"\n"
        for said in WHOLE[kind]
    )
    assert is_whole(await read(make, kind, body))


async def test_a_flood_after_the_proof_is_only_the_end(
    make: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event beyond the bound fails an answer that is not whole, and ends one that is."""
    monkeypatch.setattr(adapter, "SSEParser", partial(SSEParser, 20_000))
    flood, whole = b"data: " + b"x" * 200_000, events(*WHOLE[kind])
    assert is_whole(await read(make, kind, whole + b": \n" * 50_000 + flood))
    with pytest.raises(ProviderError, match="20000 bytes"):
        await read(make, kind, flood + whole)


async def test_compressed_streams(make: Any, kind: str) -> None:
    """A gzipped stream is read; one that is cut in two is interrupted, before the proof."""
    noise = b"".join(b": %d\n\n" % (n * 7919) for n in range(20_000))
    *begun, last = WHOLE[kind]
    body = gzip.compress(events(*begun) + noise + events(last))
    assert is_whole(await read(make, kind, body, GZIP))
    with pytest.raises(ProviderError) as caught:
        await read(make, kind, body[: len(body) // 2], GZIP)
    assert caught.value.kind is FailureKind.INTERRUPTED
    rest = gzip.compress(events(*begun, last) + noise)
    assert is_whole(await read(make, kind, rest[: len(rest) - 9], GZIP))


async def test_what_is_not_what_it_says(make: Any, kind: str) -> None:
    """Plain bytes under the name of gzip are the provider's failure."""
    with pytest.raises(ProviderError) as caught:
        await read(make, kind, events(*WHOLE[kind]), GZIP)
    assert caught.value.kind in (FailureKind.TRANSPORT, FailureKind.INTERRUPTED)


@pytest.mark.parametrize("asked", [True, False])
async def test_a_bare_usage_chunk_and_the_end(make: Any, asked: bool) -> None:
    """Usage comes once: in a chunk of its own where it was asked for, else with the finish."""
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    body = events(*WHOLE["openai"], usage, b"[DONE]", b"[DONE]")
    async with served(body, EVENTS) as up:
        provider = make("openai", up, model="m")
        request = chat("x", stream_options={"include_usage": True} if asked else None)
        chunks = [chunk async for chunk in provider.stream(request)]
        await provider.aclose()
    told = [chunk for chunk in chunks if chunk.get("usage")]
    assert told == chunks[-1:]
    assert bool(chunks[-1]["choices"]) is not asked
