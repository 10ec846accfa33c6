"""`multirouter_degraded` stayed 1 for ever when a route was no longer called, or was gone."""

from __future__ import annotations

import anyio
import pytest

from multirouter import Provider, Route
from multirouter.core.health.degraded import WINDOW
from tests.scenarios.kit import house


async def well(_: object) -> str:
    return "answer"


@pytest.mark.parametrize("gone", [True, False])
async def test_the_gauge_ends_with_the_window(gone: bool) -> None:
    """What nobody has asked for the window's length is not told as degraded."""
    turns = iter(range(1000))

    async def often_fails(_: object) -> str:
        if next(turns) % 3 == 0:
            raise ConnectionResetError
        return "answer"

    providers = [Provider("a", often_fails), Provider("b", well)]
    async with house(*providers, routes=[Route("r", [["a", "b"]])]) as home:
        for _ in range(100):
            await home.router.call("q", route="r")
        assert home.router.degraded("a")
        if gone:
            home.router.reconfigure(providers)
        await anyio.sleep(WINDOW)
        assert not home.router.degraded("a")
