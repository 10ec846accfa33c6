"""The upstream: answers at once, streams by the clock, and on demand fails in every way.

Which way is asked for by the model's name: `m` is always well, `faulty` never for long.
"""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

from aiohttp import web

from benchmarks.gateway.serving import serve
from benchmarks.gateway.wire import ANSWER, CHAT, DONE, chunk, stamped

WHOLE = json.dumps(ANSWER).encode()
EVENTS = {"Content-Type": "text/event-stream"}

FAULTS = ("error", "limit", "reset", "hang", "cut", "stall", "rubbish", "unfinished")
"""What befalls a request for the model `faulty`, each equally often."""

FAULTY = 0.12
"""The share of requests for that model that something befalls."""


class Upstream:
    """Answers chats, whole or streamed.

    Args:
        chunks: how many a stream has, before the one that says it is over.
        pace: how many of them come in a second.
        seed: of the choice of faults and of the instants at which streams begin.
    """

    def __init__(self, chunks: int, latency: float, seed: int) -> None:
        self._chunks = chunks
        self._every = 1 / latency
        self._rng = Random(seed)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The door."""
        asked = await request.json()
        fault = self._fault(asked.get("model"))
        if fault in {"error", "limit", "reset", "hang"}:
            return await _refuse(request, fault)
        if asked.get("stream"):
            return await self._stream(request, fault)
        return web.Response(body=WHOLE, content_type="application/json")

    def _fault(self, model: Any) -> str:
        if model != "faulty" or self._rng.random() >= FAULTY:
            return ""
        return self._rng.choice(FAULTS)

    async def _stream(self, request: web.Request, fault: str) -> web.StreamResponse:
        """Stamped chunks, evenly."""
        response = web.StreamResponse(headers=EVENTS)
        await response.prepare(request)
        clock = asyncio.get_running_loop()
        began = clock.time() + self._rng.uniform(0, self._every)
        for number in range(self._chunks):
            await asyncio.sleep(max(0.0, began + number * self._every - clock.time()))
            if number == self._chunks // 2 and await _befalls(request, response, fault):
                return response
            await response.write(stamped())
        if fault != "unfinished":
            await response.write(chunk(None, "stop") + DONE)
        await response.write_eof()
        return response


async def _refuse(request: web.Request, fault: str) -> web.Response:
    """What befalls a request before anything was answered."""
    if fault == "hang":
        await asyncio.sleep(30)
    if fault in {"reset", "hang"}:
        _drop(request)
        return web.Response()
    status = 500 if fault == "error" else 429
    message = {"error": {"message": f"{fault}, as asked for", "type": "x", "code": None}}
    return web.json_response(message, status=status, headers={"Retry-After": "0"})


async def _befalls(request: web.Request, response: web.StreamResponse, fault: str) -> bool:
    """What befalls a stream half-way; whether that was its end."""
    if fault == "rubbish":
        await response.write(b'data: {"choices": [{"del\n\n')
    if fault == "stall":
        await asyncio.sleep(30)
    if fault in {"cut", "stall"}:
        _drop(request)
        return True
    return False


def _drop(request: web.Request) -> None:
    """The connection is gone, without goodbye."""
    if request.transport is not None:
        request.transport.abort()


def main(port: str, chunks: str = "8", latency: str = "1000", seed: str = "1") -> None:
    """The upstream as a process."""
    app = web.Application()
    app.router.add_post(CHAT, Upstream(int(chunks), float(latency), int(seed)).answer)
    serve(app, int(port))
