"""Nothing is imported while calls are in flight: the first failure does not block the loop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from multirouter.runtime.preload import MODULES, MODULES_OF

ROOT = Path(__file__).parents[2]

WATCH = """
import asyncio, math, sys
import anyio
from prometheus_client import CollectorRegistry
import multirouter as m

loaded = set()
grown = {}

def imported(after):
    new = sys.modules.keys() - loaded
    loaded.update(new)
    if new:
        grown[after] = sorted(new)

def start():
    imported("start")
    grown.clear()

def run(backend, main):
    if backend == "trio":
        import trio
        trio.run(main)
    else:
        factory = None
        if backend == "uvloop":
            import uvloop
            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())
    assert not grown, grown
"""

FAILURES = (
    WATCH
    + """
class StatusError(Exception):
    def __init__(self, status, body=None, **headers):
        super().__init__(f"status {status}")
        self.status_code, self.body, self.headers = status, body, headers

FAULTS = [
    ConnectionError("refused"), TimeoutError(), "hang", ValueError("unknown"),
    StatusError(500), StatusError(401), StatusError(404),
    StatusError(429, **{"retry-after": "1"}),
    StatusError(429, **{"retry-after": "Wed, 21 Oct 2065 07:28:00 GMT"}),
    StatusError(429, body='{"error": {"code": "insufficient_quota"}}'),
    StatusError(400, body={"error": {"message": "maximum context length is 8 tokens"}}),
    ExceptionGroup("several", [OSError(3, "x"), RuntimeError()]),
]

async def fail(request):
    fault = request["fault"]
    if isinstance(fault, Exception):
        raise fault.with_traceback(None)
    if fault == "hang":
        await anyio.sleep(60)
    return request

async def stream(request):
    yield "one"
    await fail(request)
    yield "two"

async def answer(request):
    return request

async def healthy():
    raise OSError("still down")

class Broken(m.Listener):
    def circuit_changed(self, event):
        raise RuntimeError("a listener of the user")

async def main():
    trips = m.CircuitPolicy(failures=1, open_duration=0.05)
    hedged = m.Route("hedged", ["a", "b"], hedge=m.HedgePolicy(after=0.01))
    resuming = m.StreamPolicy(on_interrupt="continue", idle=0.05)
    resumed = m.Route("resumed", ["a", "b"], stream=resuming)
    shadowed = m.Route("shadowed", ["b"], shadow=m.Shadow(["c"], share=1.0))
    async with m.MultiProviderRouter(
        [m.Provider("a", fail, stream=stream, health_check=healthy), m.Provider("b", answer),
         m.Provider("c", fail, stream=stream)],
        routes=[hedged, resumed, shadowed],
        registry=CollectorRegistry(), circuit=trips, attempt_timeout=0.05, history=HISTORY,
        stream=m.StreamPolicy(idle=0.05), listeners=[Broken()],
        classify=lambda error, value: 1 / 0 if isinstance(error, ValueError) else None,
        alarms=[m.AllOpen(), m.CircuitOpen(), m.CostUnusual()],
    ) as router:
        start()
        for fault in FAULTS:
            for route in (["a", "b"], "hedged", "shadowed", ["a"]):
                try:
                    await router.call({"fault": fault}, route=route)
                except Exception as error:
                    str(error)
                imported(f"{fault!r} on {route}")
            for route in (["a", "c"], "resumed"):
                try:
                    async with router.stream({"fault": fault}, route=route) as chunks:
                        [chunk async for chunk in chunks]
                except Exception as error:
                    str(error)
                imported(f"stream of {fault!r} on {route}")
            for name in "abc":
                router.hold(name, "closed")
                router.unhold(name)
        await anyio.sleep(0.1)
        for wrong in (lambda: router.hold("a", "opn"), lambda: router.update("aa", weight=1)):
            try:
                wrong()
            except m.UsageError as error:
                str(error)
        repr(router), router.snapshot(), str(router.explain())
        imported("inspection")

run(BACKEND, main)
"""
)

FIRST_CALL = (
    WATCH
    + """
async def answer(request):
    return request

async def main():
    router = m.MultiProviderRouter([m.Provider("a", answer)], registry=CollectorRegistry())
    start()
    async with router:
        await router.call("q")
    imported("the first call")

run(BACKEND, main)
"""
)

ADAPTERS = (
    WATCH
    + """
from multirouter.providers import Anthropic, Gemini, OpenAI

REPLIES = [
    b"HTTP/1.1 500 Oops\\r\\nContent-Length: 2\\r\\n\\r\\n{}",
    b"HTTP/1.1 429 Slow\\r\\nRetry-After: 1\\r\\nContent-Type: application/json\\r\\n"
    b"Content-Length: 28\\r\\n\\r\\n" + b'{"error": {"message": "no"}}',
    b"HTTP/1.1 200 OK\\r\\nContent-Encoding: gzip\\r\\nContent-Length: 3\\r\\n\\r\\nabc",
    b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\nContent-Length: 12\\r\\n"
    b"\\r\\ndata: {bad\\n\\n",
    b"not http",
    b"",
]

async def serve(reader, writer):
    await reader.read(65536)
    writer.write(serve.reply)
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "localhost", 0, family=2)
    port = server.sockets[0].getsockname()[1]
    settings = dict(model="m", api_key="sk-abcdefghij")
    providers = [
        made("x", base_url=f"http://localhost:{port}{path}", **settings)
        for made, path in ((OpenAI, "/v1"), (Anthropic, ""), (Gemini, ""))
    ] + [
        OpenAI("x", base_url=f"https://localhost:{port}/v1", **settings),
        OpenAI("x", base_url="http://localhost:1/v1", **settings),
        OpenAI("x", base_url="http://nowhere.invalid/v1", **settings),
    ]
    for number, provider in enumerate(providers):
        router = m.MultiProviderRouter(
            [provider], name=f"r{number}", registry=CollectorRegistry(),
            circuit=m.CircuitPolicy(failures=100), retry=m.RetryPolicy(attempts=1),
        )
        if not number:
            start()
        request = {"messages": [{"role": "user", "content": "hi"}]}
        for serve.reply in REPLIES:
            for streamed in (False, True):
                try:
                    if streamed:
                        await router.stream(request)
                    else:
                        await router.call(request)
                except m.CallFailed as error:
                    str(error)
                imported(f"{provider} {serve.reply} {streamed}")
        await router.aclose()
    server.close()

run(BACKEND, main)
"""
)


def run(script: str, **values: object) -> None:
    """Runs a script in a fresh interpreter, with these values."""
    given = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    done = subprocess.run(
        [sys.executable, "-c", f"{given}\n{script}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_no_failure_imports_a_module(backend: str, tmp_path: Path) -> None:
    """Failures of all kinds, on all kinds of routes, with history and alarms."""
    run(FAILURES, BACKEND=backend, HISTORY=str(tmp_path / "history.db"))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_first_call_imports_no_module(backend: str) -> None:
    """What binds a router to its loop is loaded with the router."""
    run(FIRST_CALL, BACKEND=backend)


@pytest.mark.parametrize("backend", ["asyncio", "uvloop"])
def test_no_request_of_an_adapter_imports_a_module(backend: str) -> None:
    """Neither the first request nor one that fails, with the HTTP client of the package."""
    run(ADAPTERS, BACKEND=backend)


def test_importing_the_package_preloads_nothing() -> None:
    """`import multirouter` stays quick; the modules are loaded with the first router."""
    names = [*MODULES, "structlog", *(name for group in MODULES_OF.values() for name in group)]
    script = (
        "import sys, multirouter\n"
        f"assert not set({names}) & sys.modules.keys()\n"
        "multirouter.MultiProviderRouter()\n"
        f"assert set({[*MODULES, 'structlog']}) <= sys.modules.keys()\n"
        "assert 'aiohttp' not in sys.modules\n"
    )
    run(script)
