"""Errors of wrong usage, and the representations of objects."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from multirouter import (
    Budget,
    Chain,
    LimitPolicy,
    MultiProviderRouter,
    Price,
    Provider,
    Route,
    Target,
    Verdict,
)
from multirouter.model import FailureKind
from tests.messages.scenes import Scene, Transcript
from tests.scenarios.harness import TRIPS_AT_ONCE, harness, scripted
from tests.scenarios.scripted_streams import COMPLETE, scripted_stream


async def wrong_calls(out: Transcript) -> None:
    """Calls that no router accepts."""

    async def answer(request: object) -> object:
        return request

    def plain(request: object) -> Any:
        return request

    stream_only = Provider("s", stream=scripted_stream("s", COMPLETE).stream)
    async with harness("a", Provider("p", plain), routes=[Route("chat", ["a"])]) as env:
        router = env.router
        uses: list[Callable[[], Awaitable[object]]] = [
            lambda: router.call("q", route="caht"),
            lambda: router.call("q", route=["aa"]),
            lambda: router.call("q", route=["tag:cheap"]),
            lambda: router.call("q", route=Route("own", ["a"], budget=Budget(1))),
            lambda: router.call("q", route=Route("own", ["a"], limits=LimitPolicy(in_flight=1))),
            lambda: router.call("q", route=3),  # type: ignore[arg-type] # which is the point
            lambda: router.call("q", route=Chain([Target("chat")], operation="embeddings")),
            lambda: router.call("q", timeout=0),
            lambda: router.call("q", wait=-1),
            lambda: router.call("q", route=["p"]),
            router.__aenter__,
            lambda: router.stream("q").__anext__(),
            lambda: _enter(router.stream("q")),
        ]
        for use in uses:
            await out.failing(use)
    await out.failing(lambda: router.call("q"))
    async with harness() as env:
        await out.failing(lambda: env.router.call("q"))
    async with harness(stream_only) as env:
        await out.failing(lambda: env.router.call("q"))
    selections: list[dict[str, Any]] = [
        {"route": lambda _: "caht"},
        {"route": lambda _: 3},
        {"route": lambda _: {}["key"]},
        {"requires": lambda _: 3},
        {"requires": lambda _: {}["key"]},
        {"size": lambda _: "many"},
        {"size": lambda _: {}["key"]},
        {"limits": LimitPolicy(tokens_per_minute=1, size=lambda _: "many")},  # type: ignore[arg-type, return-value] # which is the point
        {"classify": lambda *_: 3},
    ]
    for settings in selections:
        async with harness(scripted("a", context_window=10), **settings) as env:
            await out.failing(lambda: env.router.call("q"))


async def _enter(stream: Any) -> None:
    async with stream:
        pass


async def _provider_of(stream: Any) -> object:
    return stream.provider


async def _read_one(stream: Any) -> None:
    await anext(stream, None)


async def wrong_readers(out: Transcript) -> None:
    """Streams that are read wrongly."""
    async with harness(scripted_stream("a", ["one", 1, "two"])) as env:
        stream = env.router.stream("q")
        await out.failing(lambda: _provider_of(stream))
        async with stream:
            await anext(stream)
            env.group.start_soon(_read_one, stream)
            await anyio.sleep(0.1)
            await out.failing(stream.__anext__)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dropped = await env.router.stream("q")
            out.add(repr(dropped))
            del dropped
            await anyio.sleep(0.1)
        for warning in caught:
            out.add(f"{warning.category.__name__}: {warning.message}")


async def representations(out: Transcript) -> None:
    """Representations of objects that a user may print."""
    async with harness(scripted("a", circuit=TRIPS_AT_ONCE), routes=[Route("x", ["a"])]) as env:
        await env.fail("a")
        outcome = await env.outcome()
        router = env.router
        shown = [
            router.providers[0],
            Route("chat", [["a", "b"], "c"]),
            outcome,
            Verdict(FailureKind.RATE_LIMIT, 5.0, reason="status 429"),
            Budget(10, "day"),
            Price(1.0, 2.0),
            env.gate("a"),
            env.circuit("a"),
            MultiProviderRouter(registry=env.registry),
            env["a"],
        ]
        for each in shown:
            out.add(repr(each))


TOPICS: dict[str, list[Scene]] = {
    "Wrong usage": [wrong_calls, wrong_readers],
    "Representations": [representations],
}
