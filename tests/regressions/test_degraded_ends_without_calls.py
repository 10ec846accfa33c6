"""`multirouter_degraded` returns to 0 when a route is no longer called, or was removed."""

from __future__ import annotations

import anyio
import pytest

from multirouter import HealthPolicy, Provider, Route
from tests.scenarios.harness import harness


async def healthy(_: object) -> str:
    return "answer"


@pytest.mark.parametrize("removed", [True, False])
async def test_degraded_ends_with_the_window(removed: bool) -> None:
    """A provider without attempts for the window's length is not degraded."""
    numbers = iter(range(1000))

    async def often_fails(_: object) -> str:
        if next(numbers) % 3 == 0:
            raise ConnectionResetError
        return "answer"

    providers = [Provider("a", often_fails), Provider("b", healthy)]
    async with harness(*providers, routes=[Route("r", [["a", "b"]])]) as env:
        for _ in range(100):
            await env.router.call("q", route="r")
        assert env.router.degraded("a")
        if removed:
            env.router.reconfigure(providers)
        await anyio.sleep(HealthPolicy().window)
        assert not env.router.degraded("a")
