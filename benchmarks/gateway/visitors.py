"""Clients of every sort: patient, leaving early, unknown, talking nonsense, never finishing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any

import aiohttp

from benchmarks.gateway.wire import CHAT, QUESTION, question, request
from benchmarks.harness.progress import Progress

VISITORS = 16
"""At a time."""

SORTS = {
    "chat": 32,
    "stream": 24,
    "message": 8,
    "message stream": 8,
    "chat, leaves": 6,
    "stream, leaves": 8,
    "embeds": 2,
    "wrong key": 2,
    "nonsense": 3,
    "unknown model": 3,
    "half a request": 2,
    "reads nothing": 2,
}
"""Sorts of requests, and how many there are of each in a hundred."""

ENDS = {
    "wrong key": {"401"},
    "nonsense": {"400"},
    "unknown model": {"404"},
    "embeds": {"404"},
    "half a request": {"left"},
    "reads nothing": {"left"},
}
"""How these sorts end, all of them: the upstream has no embeddings."""

ANSWERED = {"200", "whole"}
MOST_UNANSWERED = 0.05
"""The share of patient requests that faults upstream, at two providers at once, may spoil."""

ROUTES = ("chain", "even")
MESSAGES = "/v1/messages"


class Visitors:
    """Makes requests and counts how they end.

    Args:
        port: of the gateway, on loopback.
        key: that it knows.
        progress: told of each request.

    Attributes:
        ended: requests by sort and end: a status, `whole`, `broken` or `left`.
    """

    def __init__(self, port: int, key: str, progress: Progress) -> None:
        self.ended: Counter[str] = Counter()
        self._port = port
        self._key = key
        self._progress = progress
        self._rng = Random(5)
        self._left = 0

    async def make(self, requests: int) -> None:
        """Makes so many requests, and waits until all have ended and nobody is connected."""
        self._left = requests
        url, connector = f"http://127.0.0.1:{self._port}", aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(url, connector=connector) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(VISITORS):
                group.create_task(self._visitor(session))

    async def _visitor(self, session: aiohttp.ClientSession) -> None:
        sorts, shares = list(SORTS), list(SORTS.values())
        while self._left > 0:
            self._left -= 1
            sort = self._rng.choices(sorts, shares)[0]
            self.ended[f"{sort}: {await self._one(session, sort)}"] += 1
            self._progress.step()

    async def _one(self, session: aiohttp.ClientSession, sort: str) -> str:
        ask, leaves = self._asking(session, sort), sort.endswith("leaves")
        try:
            async with asyncio.timeout(self._rng.uniform(0.001, 0.012) if leaves else 30):
                return await ask()
        except TimeoutError:
            return "left" if leaves else "no answer in 30 s"
        except aiohttp.ClientError:
            return "broken"

    def _asking(
        self, session: aiohttp.ClientSession, sort: str
    ) -> Callable[[], Coroutine[Any, Any, str]]:
        body: dict[str, Any] = {**QUESTION, "model": self._rng.choice(ROUTES)}
        key, path = self._key, CHAT
        match sort:
            case "message" | "message stream":
                path, body = MESSAGES, {**body, "max_tokens": 100}
            case "embeds":
                path, body = "/v1/embeddings", {"model": body["model"], "input": "Hello"}
            case "wrong key":
                key = f"{key}x"
            case "nonsense":
                body = {"model": body["model"], "messages": self._rng.choice((None, 7, [[]], {}))}
            case "half a request" | "reads nothing":
                return lambda: self._leave_open(half=sort == "half a request")
            case "unknown model":
                body["model"] = f"gpt-{self._rng.randrange(10**9)}"
            case _:
                pass
        if "stream" in sort:
            return lambda: _stream(session, path, key, {**body, "stream": True})
        return lambda: _whole(session, path, key, body)

    async def _leave_open(self, *, half: bool) -> str:
        """Sends half a request, or asks for a stream and reads none of it; then drops the line."""
        body = question(self._rng.choice(ROUTES), stream=True)
        asked = request(self._port, body, _headers(self._key))
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(asked[: len(asked) // 2] if half else asked)
        await writer.drain()
        await asyncio.sleep(self._rng.uniform(0.001, 0.05))
        writer.transport.abort()
        return "left"


async def _whole(session: aiohttp.ClientSession, path: str, key: str, body: dict[str, Any]) -> str:
    async with session.post(path, json=body, headers=_headers(key)) as answer:
        await answer.read()
        return str(answer.status)


async def _stream(session: aiohttp.ClientSession, path: str, key: str, body: dict[str, Any]) -> str:
    """`whole` when the stream says so in its format; an error event is no end."""
    async with session.post(path, json=body, headers=_headers(key)) as answer:
        said = await answer.read()
        if answer.status != 200:
            return str(answer.status)
        return "whole" if b"[DONE]" in said or b"message_stop" in said else "broken"


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def surprises(ended: Mapping[str, int]) -> list[str]:
    """What ended otherwise than it should have, in words; nothing when all is well.

    Args:
        ended: requests by sort and end, as `Visitors.ended`.
    """
    found, patient = [], Counter[bool]()
    for name, number in ended.items():
        sort, _, end = name.rpartition(": ")
        if end.startswith("no answer") or end not in ENDS.get(sort, {end}):
            found.append(f"{number:,} of the sort {name}")
        if sort not in ENDS and not sort.endswith("leaves"):
            patient[end in ANSWERED] += number
    if patient[False] > MOST_UNANSWERED * patient.total():
        found.append(f"{patient[False]:,} of {patient.total():,} patient requests not answered")
    return found
