"""The contestants: the bare coroutine, the floor, the router at several sizes, and the peers."""

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

from benchmarks.harness.floor import make_floor
from benchmarks.harness.rounds import Call
from benchmarks.overhead import peers
from multirouter import MultiProviderRouter, Provider

WARM_UP_CALLS = 40
"""Calls per provider before the measurement: until each provider has about twenty answers, a router
computes more in each call."""


async def answer(request: str) -> str:
    """The bare coroutine: answers at once, without an iteration of the event loop."""
    return request


async def fail(request: str) -> str:
    """A provider that is down: its connection is reset at once."""
    raise ConnectionResetError(f"no answer to {request}: connection reset by peer")


async def by_hand(request: str) -> str:
    """Failover as a caller without a router writes it."""
    try:
        return await fail(request)
    except ConnectionError:
        return await answer(request)


async def healthy(
    sizes: Sequence[int], alive: AsyncExitStack, *, warmed_up: bool
) -> dict[str, Call]:
    """Contestants with healthy providers, by name; routers are closed with `alive`.

    Args:
        sizes: numbers of providers, one router for each; at least two, ascending.
        alive: closes what was opened.
        warmed_up: whether the routers are warmed up.
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
        for _ in range(WARM_UP_CALLS * size if warmed_up else 0):
            await call("question")
        contestants[f"router, {size:,} providers"] = call
    for name, make in peers.installed():
        contestants[name] = make(answer)
    return contestants


async def failing_over(alive: AsyncExitStack) -> dict[str, Call]:
    """Calls whose first provider always fails, by name: by hand, and through the router.

    A weight of 0 keeps the healthy provider for failover. A hold keeps the circuit of the failing
    one closed, so that each call attempts it first.
    """
    contestants: dict[str, Call] = {"by hand": by_hand}
    for level in ("info", "warning"):
        providers = [Provider("down", fail), Provider("up", answer, weight=0)]
        router = await _router(providers, alive, logger=json_lines_to_nowhere(level, alive))
        router.hold("down", "closed")
        for _ in range(WARM_UP_CALLS):
            assert (await router.call_outcome("question")).failovers == 1
        contestants[f"router, logs at {level}"] = router.call
    return contestants


def json_lines_to_nowhere(level: str, alive: AsyncExitStack) -> Any:
    """A structlog logger with JSON lines, as in a service, that writes to the null device."""
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
