"""Two load clients: wrk where it is installed, otherwise one in Python."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gateway.wire import CHAT, request

SCRIPT = """\
wrk.method = "POST"
wrk.body = {body}
{headers}
done = function(summary, latency)
  local e = summary.errors
  io.stderr:write(string.format("%f %d %d %d", latency:percentile(50), summary.requests,
    summary.duration, e.connect + e.read + e.write + e.status + e.timeout))
end
"""
"""Source: wrk's SCRIPTING page: latencies and the duration are in microseconds."""


@dataclass(frozen=True, slots=True)
class Target:
    """Address of a load, and the content of each request."""

    port: int
    body: bytes
    headers: dict[str, str]
    path: str = CHAT


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Result of a load.

    Attributes:
        p50: the median latency, seconds.
        per_second: answers per second.
        answered: number of answers.
        failed: answers that were not 200, and broken connections.
    """

    p50: float
    per_second: float
    answered: int
    failed: int


Load = Callable[[Target, int, float], Awaitable[LoadResult]]
"""Keeps a number of connections busy for a number of seconds."""


async def wrk(target: Target, connections: int, seconds: float, folder: Path) -> LoadResult:
    """A load by wrk on one thread.

    Args:
        target: its address.
        connections: number of connections.
        seconds: its duration.
        folder: where the script is written.
    """
    script = folder / f"{target.port}.lua"
    headers = {"Content-Type": "application/json", **target.headers}
    lines = "\n".join(f"wrk.headers[{_lua(k)}] = {_lua(v)}" for k, v in headers.items())
    script.write_text(SCRIPT.format(body=_lua(target.body.decode()), headers=lines))
    url = f"http://127.0.0.1:{target.port}{target.path}"
    ran = await asyncio.create_subprocess_exec(
        *("wrk", "-t1", f"-c{connections}", f"-d{max(1, math.ceil(seconds))}s"),
        *("--timeout", "60s", "-s", str(script), url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _, output = await ran.communicate()
    p50, requests, took, failed = map(float, output.split())
    return LoadResult(p50 / 1e6, requests / took * 1e6, int(requests), int(failed))


async def python_client(target: Target, connections: int, seconds: float) -> LoadResult:
    """A load by this process."""
    request_bytes = request(target.port, target.body, target.headers, target.path)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [
        await loop.create_connection(
            lambda: _Connection(request_bytes, began + seconds), "127.0.0.1", target.port
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.ended for _, connection in made))
    took = time.perf_counter() - began
    latencies = [each for _, connection in made for each in connection.seconds]
    failed = sum(connection.failed for _, connection in made)
    return LoadResult(
        median(latencies or [math.nan]), len(latencies) / took, len(latencies), failed
    )


class _Connection(asyncio.Protocol):
    """One connection that repeats its request as soon as it is answered, until the time is over."""

    def __init__(self, request_bytes: bytes, until: float) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self.seconds: list[float] = []
        self.failed = 0
        self._request = request_bytes
        self._until = until
        self._buffer = b""
        self._began = 0.0
        self._over = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or not _whole(head, body):
            return
        now = time.perf_counter()
        self.seconds.append(now - self._began)
        self.failed += b" 200 " not in head.partition(b"\r\n")[0]
        self._buffer = b""
        if now < self._until:
            self._send()
        else:
            self._over = True
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.failed += not self._over
        if not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)


def _whole(head: bytes, body: bytes) -> bool:
    """Whether an answer is complete."""
    _, found, rest = head.lower().partition(b"content-length: ")
    if not found:
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= int(rest.partition(b"\r\n")[0])


def _lua(text: str) -> str:
    """A string as a Lua literal; only plain ASCII without JSON escapes is used here."""
    return json.dumps(text)
