"""Providers with scripted streams, and helpers to read them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio

from multirouter import Provider, StreamPolicy
from tests.scenarios.harness import Harness

WORDS = ["one ", "two ", "three ", "four"]
TEXT = "".join(WORDS)
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "count"}]}
CONNECTION_LOST = ConnectionResetError("gone")


def chat_chunk(text: str = "", end: str | None = None, **delta: Any) -> dict[str, Any]:
    """A chat chunk."""
    content = {"content": text} if text else {}
    return {"choices": [{"index": 0, "delta": content | delta, "finish_reason": end}]}


ROLE = chat_chunk(role="assistant")
COMPLETE = [ROLE, *map(chat_chunk, WORDS), chat_chunk(end="stop")]


def text_of(chunks: list[Any]) -> str:
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)


class ScriptedStream:
    """Stream function with a script of chunks, pauses (seconds) and exceptions for each request.

    Attributes:
        requests: the requests, in order.
        open: number of streams that have neither ended nor been closed.
    """

    def __init__(self, *scripts: Any) -> None:
        self.scripts = list(scripts)
        self.requests: list[Any] = []
        self.open = 0

    async def __call__(self, request: Any) -> AsyncIterator[Any]:
        self.requests.append(request)
        script = self.scripts[min(len(self.requests), len(self.scripts)) - 1]
        self.open += 1
        try:
            for step in script(request) if callable(script) else script:
                if isinstance(step, Exception):
                    raise step.with_traceback(None)  # it may be raised more than once
                if isinstance(step, int | float):
                    await anyio.sleep(step)
                else:
                    yield step
        finally:
            self.open -= 1


def scripted_stream(name: str, *scripts: Any, **settings: Any) -> Provider[Any, Any, Any]:
    return Provider(name, stream=ScriptedStream(*scripts), **settings)


def streams_of(env: Harness) -> dict[str, ScriptedStream]:
    return {p.name: p.stream for p in env.router.providers}  # type: ignore[misc]


async def read(env: Harness, request: Any = "q", **options: Any) -> list[Any]:
    async with env.router.stream(request, **options) as stream:
        return [chunk async for chunk in stream]


CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CONTINUE = StreamPolicy(on_interrupt="continue")
END = chat_chunk(end="stop")
HALF = [ROLE, chat_chunk("one "), chat_chunk("two"), CONNECTION_LOST]


def assert_continued(env: Harness, mode: str) -> None:
    """Exactly one continuation is reported, counted and in the trail."""
    (event,) = env.recorder.of("stream_continued")
    assert (event.mode, event.provider, event.to) == (mode, "a", "b")
    assert env.total("stream_continuations_total", mode=mode, route="adhoc") == 1
    assert env.total("stream_continuations_total") == 1
    last = env.recorder.attempts[-1]
    assert f"continued by {mode} after {event.chunks} chunks from a" in last.why
    assert env.recorder.calls[-1].ok
    assert env.recorder.calls[-1].failovers == 1
