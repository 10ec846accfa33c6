"""Parity: each setting of the configuration applies to each operation as it does to chat."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from multirouter import Budget
from multirouter.config import KeyBook, load
from multirouter.config.client_keys.key_file import save_keys
from multirouter.gateway.app import Gateway
from multirouter.gateway.endpoints.operations import OPERATIONS, WITH_FILES
from multirouter.gateway.server import Server
from multirouter.gateway.short_wait import ShortWait
from tests.gateway.harness import Answer

pytestmark = [pytest.mark.backends("asyncio")]

CHAT = "/v1/chat/completions"
PATHS = (CHAT, "/v1/responses", *OPERATIONS)
SPEECH = "/v1/audio/speech"
STREAMED = (CHAT, "/v1/completions", "/v1/responses", SPEECH, "/v1/audio/transcriptions")
TOKENS = 1000

METERED = [(path, False) for path in PATHS if path != SPEECH] + [(path, True) for path in STREAMED]
each_operation = pytest.mark.parametrize(("path", "stream"), [*METERED, (SPEECH, False)])
each_metered = pytest.mark.parametrize(("path", "stream"), METERED)
"""Audio reports no tokens; a stream of its events does."""


class Upstream:
    """A service with all operations; each account has faults of its own.

    Attributes:
        seen: (account, path, body) of each request.
        status: the status of an account, 200 without one.
        delay: seconds before an account answers.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, Any]]] = []
        self.status: dict[str, int] = {}
        self.delay: dict[str, float] = {}
        self.url = ""

    @property
    def accounts(self) -> list[str]:
        return [account for account, _, _ in self.seen]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        account, path = request.match_info["account"], request.match_info["path"]
        is_form = request.content_type == "multipart/form-data"
        body = dict(await request.post()) if is_form else await request.json()
        self.seen.append((account, path, body))
        await asyncio.sleep(self.delay.get(account, 0.0))
        status = self.status.get(account, 200)
        if status != 200:
            return web.json_response({"error": {"message": "no"}}, status=status)
        if path == "audio/speech" and body.get("stream_format") != "sse":
            return web.Response(body=b"hi", content_type="audio/mpeg")
        if body.get("stream") or path == "audio/speech":
            return web.Response(body=_events(path, body), content_type="text/event-stream")
        return web.json_response(_answer(path, body["model"]))


def _answer(path: str, model: str) -> dict[str, Any]:
    if path == "responses":
        usage = {"input_tokens": TOKENS, "output_tokens": 0, "total_tokens": TOKENS}
        return {
            "object": "response",
            "status": "completed",
            "model": model,
            "output": [],
            "usage": usage,
        }
    usage = {"prompt_tokens": TOKENS, "completion_tokens": 0, "total_tokens": TOKENS}
    message = {"role": "assistant", "content": "hi"}
    choice = {"index": 0, "message": message, "text": "hi", "finish_reason": "stop"}
    return {"object": "x", "model": model, "choices": [choice], "usage": usage}


def _events(path: str, body: dict[str, Any]) -> bytes:
    answer = _answer(path, body["model"])
    if path.startswith("audio/"):
        end = {"type": f"{path}.done", "usage": answer["usage"], "model": body["model"]}
        events = [{"type": f"{path}.delta", "delta": "hi"}, end]
        return b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)
    if path == "responses":
        opening = {**answer, "status": "in_progress", "usage": None}
        events = [
            {"type": "response.created", "response": opening},
            {"type": "response.output_text.delta", "delta": "hi"},
            {"type": "response.completed", "response": answer},
        ]
        return b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)
    choice = {"index": 0, "delta": {"content": "hi"}, "text": "hi", "finish_reason": "stop"}
    events = [{**answer, "choices": [choice], "usage": None}, {**answer, "choices": []}]
    data = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)
    return data + b"data: [DONE]\n\n"


@asynccontextmanager
async def gateway(folder: Path, settings: str) -> AsyncIterator[Any]:
    """A gateway with the settings of a file; `UP` stands for the service's address."""
    up = Upstream()
    app = web.Application()
    app.router.add_post("/{account}/v1/{path:.+}", up.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    file = folder / "gateway.yaml"
    file.write_text(settings.replace("UP", f"http://{host}:{port}"))
    registry = CollectorRegistry()
    loaded = load(file, {})
    router = loaded.build(registry=registry, rng=Random(1))
    try:
        async with router, aiohttp.ClientSession() as http:
            app_ = Gateway(
                router,
                models=loaded.models,
                keys=loaded.keys,
                registry=registry,
                short_wait=ShortWait(loaded.wait, loaded.waits),
            )
            async with AsyncExitStack() as stack:
                stack.callback(app_.close)
                server = await stack.enter_async_context(Server(app_))

                async def send(path: str, *, stream: bool = False, **more: Any) -> Answer:
                    key = more.pop("key", "")
                    body: dict[str, Any] = {"model": "m", **more}
                    body["messages" if path == CHAT else "input"] = (
                        [{"role": "user", "content": "hi"}] if path == CHAT else "hi"
                    )
                    if stream:
                        body.update(
                            {"stream_format": "sse"} if path == SPEECH else {"stream": True}
                        )
                    headers = {"Authorization": f"Bearer {key}"} if key else {}
                    sent = _form(body) if OPERATIONS.get(path) in WITH_FILES else body
                    posting = http.post(
                        server.url + path,
                        headers=headers,
                        **{"json" if sent is body else "data": sent},
                    )
                    async with posting as response:
                        return Answer(response.status, response.headers, await response.read())

                yield SimpleNamespace(send=send, up=up, router=router, registry=registry)
    finally:
        await runner.cleanup()


def _form(body: dict[str, Any]) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", b"x", filename="x.mp3")
    for name, value in body.items():
        form.add_field(name, value if isinstance(value, str) else json.dumps(value))
    return form


def providers(**settings: str) -> str:
    """Providers of the model `m`, by name, with further settings."""
    lines = [
        f"  {name}: {{kind: openai, model: m, api_key: sk-sham-1234567890, "
        f"base_url: UP/{name}/v1{f', {more}' if more else ''}}}"
        for name, more in settings.items()
    ]
    return "providers:\n" + "\n".join(lines) + "\n"


CHAIN = "routes: {r: {tiers: [a, b]}}\n"


@each_operation
async def test_weights(path: str, stream: bool, tmp_path: Path) -> None:
    """Providers of one tier share the calls by their weights."""
    async with gateway(tmp_path, providers(a="weight: 9", b="weight: 1")) as g:
        for _ in range(60):
            assert (await g.send(path, stream=stream)).status == 200
    counts = Counter(g.up.accounts)
    assert 40 < counts["a"] < 60
    assert counts["b"] > 0


@each_operation
async def test_strategy_and_retry(path: str, stream: bool, tmp_path: Path) -> None:
    """The route's strategy chooses; with `attempts: 1` nothing is repeated."""
    settings = providers(a="", b="") + "policies: {retry: {attempts: 1}}\n"
    routes = "routes: {r: {tiers: [[b, a]], strategy: in_order}}\n"
    async with gateway(tmp_path, settings + routes) as g:
        g.up.status = {"a": 503, "b": 503}
        answer = await g.send(path, stream=stream, model="r")
    assert answer.status == 503
    assert g.up.accounts == ["b", "a"]
    assert [entry["provider"] for entry in answer.trail] == ["b", "a"]


@each_operation
async def test_timeouts(path: str, stream: bool, tmp_path: Path) -> None:
    """`attempt_timeout` ends an attempt, opens the circuit, and `timeout` ends the call."""
    settings = providers(a="", b="") + "policies: {attempt_timeout: 2, timeout: 60}\n"
    routes = "routes: {r: {tiers: [a, b]}, alone: {tiers: [b], attempt_timeout: 50, timeout: 5}}\n"
    async with gateway(tmp_path, settings + routes) as g:
        g.up.delay = {"a": 30.0, "b": 0.0}
        seconds = []
        for _ in range(4):
            started = anyio.current_time()
            assert (await g.send(path, stream=stream, model="r")).status == 200
            seconds.append(round(anyio.current_time() - started))
        assert seconds == [2, 2, 2, 0]
        g.up.delay = {"b": 30.0}
        started = anyio.current_time()
        assert (await g.send(path, stream=stream, model="alone")).status == 504
        assert round(anyio.current_time() - started) == 5


@each_operation
@pytest.mark.parametrize("owner", ["provider", "route", "router"])
async def test_limits(owner: str, path: str, stream: bool, tmp_path: Path) -> None:
    """Limits of a provider, a route and the router admit three requests a minute."""
    limits = "limits: {requests_per_minute: 3, burst: 1}"
    settings = providers(a=limits if owner == "provider" else "") + "policies: {wait: 0}\n"
    settings += f"routes: {{r: {{tiers: [a]{f', {limits}' if owner == 'route' else ''}}}}}\n"
    settings += limits if owner == "router" else ""
    async with gateway(tmp_path, settings) as g:
        statuses = [(await g.send(path, stream=stream, model="r")).status for _ in range(5)]
    assert statuses == [200, 200, 200, 503, 503]


@each_metered
@pytest.mark.parametrize("owner", ["provider", "route", "router"])
async def test_prices_and_budgets(owner: str, path: str, stream: bool, tmp_path: Path) -> None:
    """Each call costs its tokens, and a used-up budget rejects the next."""
    budget = "budget: {usd: 1.5, per: day}"
    price = "price: {input: 1000, output: 1000}"
    settings = providers(a=f"{price}, {budget}" if owner == "provider" else price)
    settings += f"routes: {{r: {{tiers: [a]{f', {budget}' if owner == 'route' else ''}}}}}\n"
    settings += budget if owner == "router" else ""
    async with gateway(tmp_path, settings) as g:
        answers = [await g.send(path, stream=stream, model="r") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 503]
    if not stream:
        assert float(answers[0].headers["X-Cost-Usd"]) == 1.0


@each_operation
async def test_holds_circuits_and_fallback_models(path: str, stream: bool, tmp_path: Path) -> None:
    """A hold, an open circuit and `fallback_models` lead to the other provider."""
    settings = providers(a="models: [m, a1]", b="models: [m, b1]") + CHAIN
    async with gateway(tmp_path, settings) as g:
        g.router.hold("a", "open")
        assert (await g.send(path, stream=stream, model="r")).headers["X-Provider"] == "b"
        g.router.hold("a", "closed")
        assert (await g.send(path, stream=stream, model="r")).headers["X-Provider"] == "a"
        g.router.unhold("a")
        g.up.seen.clear()
        g.up.status = {"a": 503}
        answers = [
            await g.send(path, stream=stream, model="a1", fallback_models=["b1"]) for _ in range(8)
        ]
    assert {answer.status for answer in answers} == {200}
    assert {answer.headers["X-Provider"] for answer in answers} == {"b"}
    assert {body["model"] for account, _, body in g.up.seen if account == "b"} == {"b1"}
    assert len([account for account in g.up.accounts if account == "a"]) < 8


@each_metered
async def test_keys(path: str, stream: bool, tmp_path: Path) -> None:
    """A key's routes, tokens a minute and budget."""
    settings = providers(a="price: {input: 1000, output: 1000}", b="")
    settings += CHAIN + "keys: {file: keys.json}\n"
    book, route = KeyBook().new("route", routes=("r",))
    book, tokens = book.new("tokens", tokens_per_minute=900)
    book, money = book.new("money", budget=Budget(0.5, per="day"))
    save_keys(tmp_path / "keys.json", book)
    async with gateway(tmp_path, settings) as g:
        assert (await g.send(path, stream=stream, model="r")).status == 401
        assert (await g.send(path, stream=stream, model="r", key=route)).status == 200
        assert (await g.send(path, stream=stream, model="m", key=route)).status == 403
        for key in (tokens, money):
            statuses = [
                (await g.send(path, stream=stream, model="a/m", key=key)).status for _ in range(2)
            ]
            assert statuses == [200, 429]


@each_operation
async def test_models(path: str, stream: bool, tmp_path: Path) -> None:
    """No request reaches a model that the file does not list."""
    async with gateway(tmp_path, providers(a="", b="models: ['m*']") + CHAIN) as g:
        assert (await g.send(path, stream=stream, model="other")).status == 404
        for model, name in (("other", "r"), ("a/other", "r"), ("m2", "r")):
            await g.send(path, stream=stream, model=model, route=name)
    assert {body["model"] for _, _, body in g.up.seen} == {"m"}


@each_metered
async def test_history_and_metrics(path: str, stream: bool, tmp_path: Path) -> None:
    """Each call is one call in the metrics and one in the history."""
    settings = providers(a="") + "history: {file: calls.db}\n"
    async with gateway(tmp_path, settings) as g:
        for _ in range(3):
            assert (await g.send(path, stream=stream)).status == 200
        operation = OPERATIONS.get(path, "chat")
        labels = {"router": "default", "outcome": "success", "operation": operation}
        for counted, of in (("calls", {"route": "m"}), ("attempts", {"provider": "a"})):
            name = f"multirouter_{counted}_total"
            assert g.registry.get_sample_value(name, {**labels, **of}) == 3.0
        tokens = {"router": "default", "provider": "a", "model": "m", "kind": "input"}
        assert g.registry.get_sample_value("multirouter_tokens_total", tokens) == 3.0 * TOKENS
    with closing(sqlite3.connect(tmp_path / "calls.db")) as history:
        calls = history.execute("SELECT route, result, operation FROM calls").fetchall()
        assert calls == [("m", "success", operation)] * 3
        attempts = history.execute("SELECT provider, operation FROM attempts").fetchall()
        assert attempts == [("a", operation)] * 3
