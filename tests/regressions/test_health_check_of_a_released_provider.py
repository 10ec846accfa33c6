"""A provider with `health_check=` that is released from a hold, or not on `default`, is checked."""

from __future__ import annotations

import anyio

from multirouter import Route
from tests.scenarios.harness import TRIPS_AT_ONCE, harness, scripted


async def test_a_release_is_followed_by_a_health_check() -> None:
    """A released provider that is not on the default route closes by its health check."""
    called_at: list[float] = []

    async def health_check() -> None:
        called_at.append(anyio.current_time())

    routes = [Route("default", ["b"]), Route("other", ["a", "b"])]
    async with harness(
        scripted("a", health_check=health_check), "b", circuit=TRIPS_AT_ONCE, routes=routes
    ) as env:
        env.router.hold("a", "open")
        await anyio.sleep(100)
        assert called_at == []
        env.router.unhold("a")
        await env.call("b")
        await anyio.sleep(0.1)
        assert (env.state("a"), len(called_at)) == ("closed", 1)
