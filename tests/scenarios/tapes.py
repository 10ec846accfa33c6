"""Providers that play streams from a tape, and few words to read them with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio

from multirouter import Provider
from tests.scenarios.kit import House

WORDS = ["one ", "two ", "three ", "four"]
TEXT = "".join(WORDS)
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "count"}]}
GONE = ConnectionResetError("gone")


def said(text: str = "", end: str | None = None, **delta: Any) -> dict[str, Any]:
    """A chat chunk."""
    content = {"content": text} if text else {}
    return {"choices": [{"index": 0, "delta": content | delta, "finish_reason": end}]}


ROLE = said(role="assistant")
WHOLE = [ROLE, *map(said, WORDS), said(end="stop")]


def text_of(chunks: list[Any]) -> str:
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)


class Tape:
    """A provider that plays a script of chunks, rests (numbers) and exceptions, one a request.

    Attributes:
        asked: the requests, in order.
        open: streams that are not ended or closed.
    """

    def __init__(self, *scripts: Any) -> None:
        self.scripts = list(scripts)
        self.asked: list[Any] = []
        self.open = 0

    async def __call__(self, request: Any) -> AsyncIterator[Any]:
        self.asked.append(request)
        script = self.scripts[min(len(self.asked), len(self.scripts)) - 1]
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


def tape(name: str, *scripts: Any, **settings: Any) -> Provider[Any, Any, Any]:
    return Provider(name, stream=Tape(*scripts), **settings)


def tapes(home: House) -> dict[str, Tape]:
    return {p.name: p.stream for p in home.router.providers}  # type: ignore[misc]


async def read(home: House, request: Any = "q", **terms: Any) -> list[Any]:
    async with home.router.stream(request, **terms) as stream:
        return [chunk async for chunk in stream]
