"""When a response counts as complete, when it does not, and what may follow a complete one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import Mock

import pytest

from multirouter import ProviderError
from multirouter.core.chat.completions import ERROR_FINISH_REASONS
from multirouter.model import FailureKind
from multirouter.providers import chat, text_of

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio")]

EVENTS = "text/event-stream"


@asynccontextmanager
async def served(body: bytes, kind: str, *headers: str) -> AsyncIterator[Any]:
    """A server that answers each request with these bytes and closes the connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        lines = ("HTTP/1.1 200 OK", f"Content-Type: {kind}", "Connection: close", *headers, "", "")
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield Mock(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


def events(*values: Any) -> bytes:
    """Server-sent events of JSON values, or of bytes unchanged."""
    data = (one if isinstance(one, bytes) else json.dumps(one).encode() for one in values)
    return b"".join(b"data: %s\n\n" % one for one in data)


def openai(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}


def gemini(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": reason}]}


WHOLE: dict[str, tuple[dict[str, Any], ...]] = {
    "openai": (openai("hi"), openai("", "stop")),
    "responses": (
        {"type": "response.output_text.delta", "output_index": 0, "delta": "hi"},
        {"type": "response.completed", "response": {"status": "completed"}},
    ),
    "anthropic": (
        {"type": "message_start", "message": {}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    ),
    "gemini": (gemini("hi"), gemini("", "STOP")),
}
"""A complete answer without what may follow it: usage, a terminal event."""

ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "m", "code": 503}}


@pytest.mark.parametrize(
    "after", [ERROR, b'{"half', [{"error": {"code": 429}}]], ids=["error", "rubbish", "list"]
)
async def test_errors_after_completion_are_ignored(make: Any, kind: str, after: Any) -> None:
    """After the last finish reason, an error event or a malformed chunk only ends the stream."""
    async with served(events(*WHOLE[kind], after), EVENTS) as up:
        provider = make(kind, up, model="m")
        chunks = [chunk async for chunk in provider.stream(chat("x"))]
        await provider.aclose()
    assert "".join(map(text_of, chunks)) == "hi"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_error_before_completion_is_a_failure(make: Any, kind: str) -> None:
    """One event earlier, the same error is a failure of the provider."""
    async with served(events(*WHOLE[kind][:-1], ERROR), EVENTS) as up:
        provider = make(kind, up, model="m")
        with pytest.raises(ProviderError) as caught:
            [chunk async for chunk in provider.stream(chat("x"))]
        await provider.aclose()
    assert caught.value.kind in (FailureKind.OVERLOADED, FailureKind.SERVER)


@pytest.mark.parametrize("reason", sorted(ERROR_FINISH_REASONS))
async def test_failure_finish_reason_raises(make: Any, reason: str) -> None:
    """Finish reasons by which services report their own failure do not complete an answer."""
    message = {"role": "assistant", "content": "hi"}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}
    async with served(json.dumps(whole).encode(), "application/json") as up:
        provider = make("openai", up, model="m")
        with pytest.raises(ProviderError, match="finish_reason") as called:
            await provider.call(chat("x"))
        await provider.aclose()
    async with served(events(openai("hi"), openai("", reason), b"[DONE]"), EVENTS) as up:
        provider = make("openai", up, model="m")
        with pytest.raises(ProviderError, match="finish_reason") as streamed:
            [chunk async for chunk in provider.stream(chat("x"))]
        await provider.aclose()
    for error in (called.value, streamed.value):
        assert (error.kind, error.code) == (FailureKind.SERVER, reason)


async def test_choices_that_are_not_objects(make: Any) -> None:
    """A 200 whose choices are not objects has no answer."""
    async with served(b'{"choices": [null]}', "application/json") as up:
        provider = make("openai", up, model="m")
        with pytest.raises(ProviderError, match="malformed") as caught:
            await provider.call(chat("x"))
        await provider.aclose()
    assert caught.value.kind is FailureKind.TRANSPORT
