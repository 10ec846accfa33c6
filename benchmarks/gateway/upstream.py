"""The upstream: answers at once, streams at a fixed rate, and on request fails in every way.

The model's name selects the behaviour: `m` never fails, `faulty` often does.
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
"""Faults of requests for the model `faulty`, each equally often."""

FAULTY = 0.12
"""The share of requests for that model with a fault."""


class Upstream:
    """Answers chats, whole or streamed.

    Args:
        chunks: chunks of a stream, before the last one with the finish reason.
        rate: chunks per second of a stream.
        seed: of the choice of faults and of the start times of streams.
    """

    def __init__(self, chunks: int, rate: float, seed: int) -> None:
        self._chunks = chunks
        self._every = 1 / rate
        self._rng = Random(seed)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Handles one request."""
        request_bytes = await request.json()
        fault = self._fault(request_bytes.get("model"))
        if fault in {"error", "limit", "reset", "hang"}:
            return await _fail(request, fault)
        if request_bytes.get("stream"):
            return await self._stream(request, fault)
        return web.Response(body=WHOLE, content_type="application/json")

    def _fault(self, model: Any) -> str:
        if model != "faulty" or self._rng.random() >= FAULTY:
            return ""
        return self._rng.choice(FAULTS)

    async def _stream(self, request: web.Request, fault: str) -> web.StreamResponse:
        """Sends timestamped chunks at the fixed rate."""
        response = web.StreamResponse(headers=EVENTS)
        await response.prepare(request)
        clock = asyncio.get_running_loop()
        began = clock.time() + self._rng.uniform(0, self._every)
        for number in range(self._chunks):
            await asyncio.sleep(max(0.0, began + number * self._every - clock.time()))
            if number == self._chunks // 2 and await _fail_stream(request, response, fault):
                return response
            await response.write(stamped())
        if fault != "unfinished":
            await response.write(chunk(None, "stop") + DONE)
        await response.write_eof()
        return response


async def _fail(request: web.Request, fault: str) -> web.Response:
    """A fault before any of the answer was sent."""
    if fault == "hang":
        await asyncio.sleep(30)
    if fault in {"reset", "hang"}:
        _drop(request)
        return web.Response()
    status = 500 if fault == "error" else 429
    message = {"error": {"message": f"{fault}, as requested", "type": "x", "code": None}}
    return web.json_response(message, status=status, headers={"Retry-After": "0"})


async def _fail_stream(request: web.Request, response: web.StreamResponse, fault: str) -> bool:
    """A fault in the middle of a stream; whether it ended the stream."""
    if fault == "rubbish":
        await response.write(b'data: {"choices": [{"del\n\n')
    if fault == "stall":
        await asyncio.sleep(30)
    if fault in {"cut", "stall"}:
        _drop(request)
        return True
    return False


def _drop(request: web.Request) -> None:
    """Aborts the connection."""
    if request.transport is not None:
        request.transport.abort()


def main(port: str, chunks: str = "8", rate: str = "1000", seed: str = "1") -> None:
    """The upstream as a process."""
    app = web.Application()
    app.router.add_post(CHAT, Upstream(int(chunks), float(rate), int(seed)).answer)
    serve(app, int(port))
