"""A provider with a `health_check=` that was released by hand, or not on `default`, was never probed."""

from __future__ import annotations

import anyio

from multirouter import Route
from tests.scenarios.kit import BRITTLE, house, play


async def test_a_release_is_followed_by_the_probe() -> None:
    """A provider released from a hold on no default route is back by its probe alone."""
    asked: list[float] = []

    async def health_check() -> None:
        asked.append(anyio.current_time())

    routes = [Route("default", ["b"]), Route("other", ["a", "b"])]
    async with house(
        play("a", health_check=health_check), "b", circuit=BRITTLE, routes=routes
    ) as home:
        home.router.hold("a", "open")
        await anyio.sleep(100)
        assert asked == []
        home.router.unhold("a")
        await home.call("b")
        await anyio.sleep(0.1)
        assert (home.state("a"), len(asked)) == ("closed", 1)
