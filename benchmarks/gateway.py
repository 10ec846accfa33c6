"""What does the gateway cost beside a bare aiohttp proxy, in latency and in throughput?

One upstream that answers at once, one load client, and both proxies as processes on loopback; they
take turns, round by round, and what counts is the ratio of their medians within one run. The
gateway has a key to check, metrics, trail and access log on, as it would be run.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.harness import report
from benchmarks.harness.tables import table

MESSAGE = {"role": "assistant", "content": "Hello! How can I help you today?"}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "m",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
}
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello"}]}).encode()
CONFIG = """\
providers:
  up: {{kind: openai, base_url: "{url}/v1", api_key: sk-benchmark, model: m}}
routes:
  m: {{tiers: [up]}}
keys: {{file: keys.json}}
"""
PATH = "/v1/chat/completions"


class _Asking(asyncio.Protocol):
    """One connection that asks again as soon as it is answered, until the time is over."""

    def __init__(self, request: bytes, until: float, seconds: list[float]) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self._request = request
        self._until = until
        self._seconds = seconds
        self._buffer = b""
        self._asked = 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        assert b" 200 " in head.partition(b"\r\n")[0], self._buffer[:500]
        now = time.perf_counter()
        self._seconds.append(now - self._asked)
        self._buffer = b""
        if now < self._until:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._request)


async def load(port: int, key: str, connections: int, seconds: float) -> list[float]:
    """The latencies of all answers that `connections` clients got in that time, seconds."""
    request = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Asking(request, until, latencies), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(asking.ended for _, asking in made))
    return latencies


# -- the processes ------------------------------------------------------------------------------


async def _upstream(_: web.Request) -> web.Response:
    return web.Response(body=json.dumps(ANSWER).encode(), content_type="application/json")


def _proxy(target: str) -> web.Application:
    """The floor: reads a body, asks, and hands the answer on; no checks of any kind."""

    async def sessions(app: web.Application) -> Any:
        app["session"] = aiohttp.ClientSession()
        yield
        await app["session"].close()

    async def serve(request: web.Request) -> web.Response:
        session: aiohttp.ClientSession = request.app["session"]
        headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-benchmark"}
        async with session.post(target, data=await request.read(), headers=headers) as answer:
            body = await answer.read()
            return web.Response(body=body, status=answer.status, content_type="application/json")

    app = web.Application()
    app.cleanup_ctx.append(sessions)
    app.router.add_post(PATH, serve)
    return app


def _serve(role: str, port: str, target: str) -> None:
    """The main program of an upstream's or a proxy's process; uvloop, as the gateway has it."""
    import uvloop

    app = _proxy(target) if role == "proxy" else web.Application()
    if role == "upstream":
        app.router.add_post(PATH, _upstream)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(port),
        print=None,
        access_log=None,
        loop=uvloop.new_event_loop(),
    )


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of this Python, ended with the block."""
    made = subprocess.Popen(  # noqa: S603 - this Python, on commands that stand here
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield made
    finally:
        made.send_signal(signal.SIGINT)
        try:
            made.wait(5)
        except subprocess.TimeoutExpired:
            made.kill()
            made.wait()


async def ready(port: int) -> float:
    """Seconds until a port takes connections."""
    began = time.perf_counter()
    while time.perf_counter() - began < 20:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return time.perf_counter() - began
    raise TimeoutError(f"nobody listens on port {port}")


def _free_ports(number: int) -> list[int]:
    from multirouter.gateway.server import listen

    with ExitStack() as stack:
        taken = [stack.enter_context(listen("127.0.0.1", 0)) for _ in range(number)]
        return [one.getsockname()[1] for one in taken]


def _configured(folder: Path, url: str) -> tuple[Path, str]:
    """A configuration with one key, and that key."""
    from multirouter.config.keyfile import write_keys
    from multirouter.config.keys import KeyBook

    file = folder / "gateway.yaml"
    file.write_text(CONFIG.format(url=url))
    book, token = KeyBook().new("benchmark")
    write_keys(folder / "keys.json", book)
    return file, token


def _megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# -- the measurement ----------------------------------------------------------------------------


async def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """All figures; latencies in milliseconds."""
    up, floor, ours = _free_ports(3)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file, key = _configured(Path(folder), f"http://127.0.0.1:{up}")
        target = f"http://127.0.0.1:{up}{PATH}"
        me = ("-c", "import sys; from benchmarks.gateway import _serve; _serve(*sys.argv[1:])")
        stack.enter_context(process(*me, "upstream", str(up), ""))
        stack.enter_context(process(*me, "proxy", str(floor), target))
        await ready(up)
        await ready(floor)
        served = process("-m", "multirouter", "serve", str(file), "--port", str(ours))
        gateway = stack.enter_context(served)
        started = await ready(ours)
        figures: dict[str, dict[str, list[float]]] = {"proxy": {}, "gateway": {}}
        for turn in range(rounds + 1):  # the first warms up
            for name, port in (("proxy", floor), ("gateway", ours)):
                alone = await load(port, key, 1, seconds)
                many = await load(port, key, 32, seconds)
                if turn:
                    _note(figures[name], "p50 ms, 1 connection", median(alone) * 1000)
                    _note(figures[name], "requests/s, 32 connections", len(many) / seconds)
        memory = _megabytes(gateway.pid)
    medians = {n: {k: median(v) for k, v in told.items()} for n, told in figures.items()}
    pairs = zip(medians["gateway"].items(), medians["proxy"].values(), strict=True)
    ratios = {figure: value / other for (figure, value), other in pairs}
    return {"medians": medians, "ratios": ratios, "ready_s": started, "memory_mb": memory}


def _note(told: dict[str, list[float]], figure: str, value: float) -> None:
    told.setdefault(figure, []).append(value)


def text(result: dict[str, Any]) -> str:
    """The result as a table."""
    proxy, gateway = result["medians"]["proxy"], result["medians"]["gateway"]
    rows = [
        (figure, f"{proxy[figure]:.3g}", f"{gateway[figure]:.3g}", f"{ratio:.2f}")
        for figure, ratio in result["ratios"].items()
    ]
    return "\n".join(
        [
            table(("figure", "bare proxy", "gateway", "ratio"), rows),
            f"\nready after {result['ready_s']:.2f} s, {result['memory_mb']:.0f} MB resident",
            "Not measured: litellm's proxy, Portkey, TensorZero (none is installed here).",
        ]
    )


def main(argv: Sequence[str]) -> int:
    """Measures and prints."""
    options = report.parser("gateway", (__doc__ or "").split("\n", 1)[0]).parse_args(list(argv))
    rounds, seconds = (1, 0.3) if options.quick else (7, 1.5)
    result = asyncio.run(measure(rounds, seconds))
    report.show("gateway", result, lambda: text(result), as_json=options.json)
    return 0
