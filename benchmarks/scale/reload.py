"""Reloads while calls are made: how long a reload holds the event loop, and what calls notice.

Each reload replaces every provider and every route by a new object of the same name.
"""

from __future__ import annotations

import asyncio
import logging
from random import Random

from prometheus_client import CollectorRegistry

from benchmarks.harness.percentiles import percentiles
from benchmarks.scale.start import settings
from multirouter import MultiProviderRouter

PROVIDERS, ROUTES = 1_000, 100
RATE = 500
"""Calls per second."""


async def measured(divisor: int) -> dict[str, float]:
    """Milliseconds of a reload, and of the delay of calls around it, over several reloads."""
    reloads = max(1, 8 // divisor)
    providers, routes = settings(PROVIDERS // divisor, ROUTES // divisor)
    held: list[float] = []
    delays: list[float] = []
    registry = CollectorRegistry()
    logger = logging.getLogger("benchmarks.reload")
    async with MultiProviderRouter(
        providers, routes=routes, registry=registry, rng=Random(1), logger=logger
    ) as router:
        loop = asyncio.get_running_loop()

        async def calls(until: float) -> None:
            due = loop.time()
            while due < until:
                await asyncio.sleep(due - loop.time())
                await router.call("question")
                delays.append(1e3 * (loop.time() - due))
                due += 1.0 / RATE

        for _ in range(reloads):
            providers, routes = settings(PROVIDERS // divisor, ROUTES // divisor)
            task = asyncio.create_task(calls(loop.time() + 1.0))
            await asyncio.sleep(0.5)
            began = loop.time()
            router.reconfigure(providers, routes)
            held.append(1e3 * (loop.time() - began))
            await task
    return {
        "ms_a_reload_holds_the_loop": sorted(held)[len(held) // 2],
        "ms_delay_p50": percentiles(delays)["p50"],
        "ms_delay_p99": percentiles(delays)["p99"],
        "ms_delay_max": max(delays),
    }
