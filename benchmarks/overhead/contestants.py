"""Who is timed: the bare coroutine, the floor, the router at several sizes, and the peers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from benchmarks.harness.rounds import Call
from benchmarks.overhead import peers
from benchmarks.overhead.floor import make_floor
from multirouter import MultiProviderRouter, Provider

SETTLING = 40
"""Calls per provider before the clock runs: a router is young until each provider has a past of
some twenty answers, and until then it works out more with each call."""


async def answer(request: str) -> str:
    """The bare coroutine: answers at once, without a turn of the event loop."""
    return request


async def fail(request: str) -> str:
    """A provider that is down: its connection is reset at once, whatever the request."""
    raise ConnectionResetError(f"no answer to {request}: connection reset by peer")


async def by_hand(request: str) -> str:
    """The failover as a caller without a router writes it."""
    try:
        return await fail(request)
    except ConnectionError:
        return await answer(request)


async def healthy(sizes: Sequence[int], alive: AsyncExitStack, *, settled: bool) -> dict[str, Call]:
    """Everybody with healthy providers, by name; routers are closed with `alive`.

    Args:
        sizes: how many providers a router has, one router for each; at least two, ascending.
        alive: closes what was opened.
        settled: whether the routers have been used for a while.
    """
    few, *_, many = sizes
    contestants: dict[str, Call] = {
        "bare": answer,
        "floor": make_floor([answer] * few),
        f"floor, {many:,} providers": make_floor([answer] * many),
    }
    for size in sizes:
        providers = [Provider(f"provider-{number}", answer) for number in range(size)]
        call = (await _router(providers, alive)).call
        for _ in range(SETTLING * size if settled else 0):
            await call("question")
        contestants[f"router, {size:,} providers"] = call
    for name, make in peers.installed():
        contestants[name] = make(answer)
    return contestants


async def failing_over(alive: AsyncExitStack) -> dict[str, Call]:
    """Calls whose first provider always fails, by name: by hand, and through the router.

    A weight of 0 keeps the healthy provider for failover, and a hand that holds the failing one's
    door open for calls lets it be asked first each time.
    """
    contestants: dict[str, Call] = {"by hand": by_hand}
    for level in ("info", "warning"):
        providers = [Provider("down", fail), Provider("up", answer, weight=0)]
        router = await _router(providers, alive, logger=json_lines_to_nowhere(level, alive))
        router.hold("down", "closed")
        for _ in range(SETTLING):
            assert (await router.call_outcome("question")).failovers == 1
        contestants[f"router, logs at {level}"] = router.call
    return contestants


def json_lines_to_nowhere(level: str, alive: AsyncExitStack) -> Any:
    """A structlog logger as a service has it, whose lines go to the null device."""
    nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # closed with `alive`
    alive.push(nowhere)
    return structlog.wrap_logger(
        structlog.WriteLogger(nowhere),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(serializer=json.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )


async def _router(
    providers: Iterable[Provider[str, str]], alive: AsyncExitStack, **settings: Any
) -> MultiProviderRouter[str, str]:
    """A router with default settings and metrics in a registry of its own."""
    router = MultiProviderRouter(providers, registry=CollectorRegistry(), rng=Random(1), **settings)
    await alive.enter_async_context(router)
    return router
