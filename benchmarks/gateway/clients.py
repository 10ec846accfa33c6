"""Clients of all kinds: patient, cancelling, unauthorized, with malformed or partial requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any

import aiohttp

from benchmarks.gateway.wire import CHAT, QUESTION, question, request
from benchmarks.harness.progress import Progress

CONCURRENCY = 16
"""Concurrent clients."""

REQUEST_KINDS = {
    "chat": 32,
    "stream": 24,
    "message": 8,
    "message stream": 8,
    "chat, cancelled": 6,
    "stream, cancelled": 8,
    "embeddings": 2,
    "wrong key": 2,
    "malformed body": 3,
    "unknown model": 3,
    "half a request": 2,
    "never reads": 2,
}
"""Kinds of requests, each with its percentage."""

EXPECTED_ENDS = {
    "wrong key": {"401"},
    "malformed body": {"400"},
    "unknown model": {"404"},
    "embeddings": {"404"},
    "half a request": {"cancelled"},
    "never reads": {"cancelled"},
}
"""The ends of kinds that always end the same way: the upstream has no embeddings."""

NEVER_EXPECTED = ("500", "no answer")
"""Ends of no kind: a provider's error is a 502, so that a 500 is an exception in the gateway."""

ANSWERED = {"200", "complete"}
MAX_UNANSWERED = 0.05
"""The share of patient requests that may fail, by simultaneous faults of both providers."""

ROUTES = ("chain", "even")
MESSAGES = "/v1/messages"


class Clients:
    """Makes requests and counts how they end.

    Args:
        port: of the gateway, on loopback.
        key: a valid key.
        progress: counts each request.

    Attributes:
        ended: requests by kind and end: a status, `complete`, `broken` or `cancelled`.
    """

    def __init__(self, port: int, key: str, progress: Progress) -> None:
        self.ended: Counter[str] = Counter()
        self._port = port
        self._key = key
        self._progress = progress
        self._rng = Random(5)
        self._left = 0

    async def make(self, requests: int) -> None:
        """Makes the given number of requests, and waits until all have ended and disconnected."""
        self._left = requests
        url, connector = f"http://127.0.0.1:{self._port}", aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(url, connector=connector) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(CONCURRENCY):
                group.create_task(self._client(session))

    async def _client(self, session: aiohttp.ClientSession) -> None:
        kinds, shares = list(REQUEST_KINDS), list(REQUEST_KINDS.values())
        while self._left > 0:
            self._left -= 1
            kind = self._rng.choices(kinds, shares)[0]
            self.ended[f"{kind}: {await self._one(session, kind)}"] += 1
            self._progress.step()

    async def _one(self, session: aiohttp.ClientSession, kind: str) -> str:
        send, cancels = self._request_of(session, kind), kind.endswith("cancelled")
        try:
            async with asyncio.timeout(self._rng.uniform(0.001, 0.012) if cancels else 30):
                return await send()
        except TimeoutError:
            return "cancelled" if cancels else "no answer in 30 s"
        except aiohttp.ClientError:
            return "broken"

    def _request_of(
        self, session: aiohttp.ClientSession, kind: str
    ) -> Callable[[], Coroutine[Any, Any, str]]:
        body: dict[str, Any] = {**QUESTION, "model": self._rng.choice(ROUTES)}
        key, path = self._key, CHAT
        match kind:
            case "message" | "message stream":
                path, body = MESSAGES, {**body, "max_tokens": 100}
            case "embeddings":
                path, body = "/v1/embeddings", {"model": body["model"], "input": "Hello"}
            case "wrong key":
                key = f"{key}x"
            case "malformed body":
                body = {"model": body["model"], "messages": self._rng.choice((None, 7, [[]], {}))}
            case "half a request" | "never reads":
                return lambda: self._leave_open(half=kind == "half a request")
            case "unknown model":
                body["model"] = f"gpt-{self._rng.randrange(10**9)}"
            case _:
                pass
        if "stream" in kind:
            return lambda: _stream(session, path, key, {**body, "stream": True})
        return lambda: _whole(session, path, key, body)

    async def _leave_open(self, *, half: bool) -> str:
        """Sends half a request, or requests a stream and reads nothing; then disconnects."""
        body = question(self._rng.choice(ROUTES), stream=True)
        request_bytes = request(self._port, body, _headers(self._key))
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request_bytes[: len(request_bytes) // 2] if half else request_bytes)
        await writer.drain()
        await asyncio.sleep(self._rng.uniform(0.001, 0.05))
        writer.transport.abort()
        return "cancelled"


async def _whole(session: aiohttp.ClientSession, path: str, key: str, body: dict[str, Any]) -> str:
    async with session.post(path, json=body, headers=_headers(key)) as answer:
        await answer.read()
        return str(answer.status)


async def _stream(session: aiohttp.ClientSession, path: str, key: str, body: dict[str, Any]) -> str:
    """`complete` when the stream has its format's end marker; an error event is not one."""
    async with session.post(path, json=body, headers=_headers(key)) as answer:
        said = await answer.read()
        if answer.status != 200:
            return str(answer.status)
        return "complete" if b"[DONE]" in said or b"message_stop" in said else "broken"


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def unexpected(ended: Mapping[str, int]) -> list[str]:
    """Requests that ended in an unexpected way, as sentences; none when all is well.

    Args:
        ended: requests by kind and end, as `Clients.ended`.
    """
    found, patient = [], Counter[bool]()
    for name, number in ended.items():
        kind, _, end = name.rpartition(": ")
        if end.startswith(NEVER_EXPECTED) or end not in EXPECTED_ENDS.get(kind, {end}):
            found.append(f"{number:,} of the kind {name}")
        if kind not in EXPECTED_ENDS and not kind.endswith("cancelled"):
            patient[end in ANSWERED] += number
    if patient[False] > MAX_UNANSWERED * patient.total():
        found.append(f"{patient[False]:,} of {patient.total():,} patient requests not answered")
    return found
