"""Adapters report the rate-limit headers of their answers to a router that learns from them."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest

from multirouter import (
    LimitPolicy,
    MultiProviderRouter,
    NoProviderAvailable,
    Provider,
    report_headers,
)
from multirouter.testing import StatusError

HEADERS = {"acme-ratelimit-requests-remaining": "0", "acme-ratelimit-requests-reset": "30s"}


def learning(call: Any, **settings: Any) -> Provider[Any, Any, Any]:
    return Provider("a", call, limits=LimitPolicy(learn=True), **settings)


async def other(request: Any) -> Any:
    return "other"


async def test_the_headers_of_an_exception_are_read() -> None:
    """A client library's 429 teaches its limits: other providers serve until the refill."""
    attempts = []

    async def call(request: Any) -> Any:
        attempts.append(request)
        raise StatusError("too many", status=429, headers=HEADERS)

    async with MultiProviderRouter([learning(call), Provider("b", other, weight=0)]) as router:
        assert await router.call("x") == "other"
        gate = router._engine.states.gates["a"]
        assert gate.limits is not None
        assert "headers" in gate.limits.rejection(0, router._engine.binding.now())
        assert await router.call("x") == "other"
        assert attempts == ["x"]


class Unreadable:
    def items(self) -> Any:
        raise RuntimeError("no headers")


@pytest.mark.parametrize(
    "headers",
    [None, 5, [1], {1: 2}, {"acme-ratelimit-remaining": None}, Unreadable()],
    ids=["none", "number", "list", "numbers", "null", "unreadable"],
)
async def test_headers_that_cannot_be_read_fail_no_attempt(headers: Any) -> None:
    """The answer is there: it is returned, and the circuit stays closed."""

    async def call(request: Any) -> Any:
        report_headers(headers)
        return "answer"

    async with MultiProviderRouter([learning(call)]) as router:
        outcomes = [await router.call_outcome("x") for _ in range(3)]
        assert [len(outcome.attempts) for outcome in outcomes] == [1, 1, 1]
        assert router.circuit_state("a") == "closed"


@pytest.mark.parametrize(
    "headers",
    [
        {b"acme-ratelimit-requests-remaining": b"0", b"acme-ratelimit-requests-reset": b"30s"},
        [("acme-ratelimit-requests-remaining", "0"), ("acme-ratelimit-requests-reset", "30s")],
        {"Acme-RateLimit-Requests-Remaining": 0, "acme-ratelimit-requests-reset": 30},
    ],
    ids=["bytes", "pairs", "numbers"],
)
@pytest.mark.parametrize("threaded", [False, True])
async def test_headers_of_any_client_are_read(headers: Any, *, threaded: bool) -> None:
    """As bytes, as pairs, with numbers; from a thread they are read in that of the event loop."""
    readers: list[int] = []

    async def call(request: Any) -> Any:
        if threaded:
            await anyio.to_thread.run_sync(report_headers, headers)
        else:
            report_headers(headers)
        return "answer"

    async with MultiProviderRouter([learning(call)]) as router:
        states = router._engine.states
        states.on_low_limit = lambda *_: readers.append(threading.get_ident())
        await router.call("x")
        gate = states.gates["a"]
        assert gate.ready_in(router._engine.binding.now()) == pytest.approx(30.0, abs=0.1)
        assert readers == [threading.get_ident()]


@pytest.mark.parametrize("streaming", [False, True])
async def test_limits_are_learned_by_model(streaming: bool) -> None:
    """The model is that of the call, also where the provider renames it."""
    served: list[str] = []

    def answer(request: Any) -> Any:
        served.append(request["model"])
        if request["model"] == "acme/m":
            report_headers(HEADERS)
        return "answer"

    async def call(request: Any) -> Any:
        return answer(request)

    async def stream(request: Any) -> Any:
        yield answer(request)

    def renamed(request: Any) -> Any:
        return {**request, "model": f"acme/{request['model']}"}

    provider = Provider("a", call, stream=stream, limits=LimitPolicy(learn=True), transform=renamed)
    async with MultiProviderRouter([provider]) as router:

        async def attempt(model: str) -> None:
            if streaming:
                async for _ in router.stream({"model": model}):
                    pass
            else:
                await router.call({"model": model})

        await attempt("m")
        with pytest.raises(NoProviderAvailable):
            await attempt("m")
        await attempt("n")
        await attempt("n")
    assert served == ["acme/m", "acme/n", "acme/n"]


async def test_a_provider_that_left_learns_nothing() -> None:
    """Headers that arrive after it was removed are dropped."""
    async with MultiProviderRouter([Provider("b", other)]) as router:
        router._engine.states.observe_headers("gone", "", HEADERS)
        router._engine.states.observe_headers("b", "", HEADERS)
        assert router._engine.states.gates["b"].limits is None


@pytest.mark.real_io
@pytest.mark.backends("asyncio")
@pytest.mark.parametrize("streaming", [False, True])
async def test_adapters_report_headers(streaming: bool) -> None:
    """Of a successful answer and of a stream: the next call waits, before there is a 429."""
    from aiohttp import web

    from multirouter.providers import OpenAI, chat

    chunk = 'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'

    async def handle(request: web.Request) -> web.StreamResponse:
        if streaming:
            headers = {**HEADERS, "Content-Type": "text/event-stream"}
            return web.Response(text=f"{chunk}data: [DONE]\n\n", headers=headers)
        message = {"role": "assistant", "content": "hi"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"choices": [choice]}, headers=HEADERS)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"  # type: ignore[union-attr]
    made = OpenAI("m", api_key="k", base_url=url).replace(name="a", limits=LimitPolicy(learn=True))
    async with MultiProviderRouter([made]) as router:
        if streaming:
            async with router.stream(chat("x")) as stream:
                assert [chunk async for chunk in stream]
        else:
            await router.call(chat("x"))
        gate = router._engine.states.gates["a"]
        assert gate.ready_in(router._engine.binding.now()) == pytest.approx(30.0, abs=2.0)
    await runner.cleanup()
