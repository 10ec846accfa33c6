"""Limits of the whole fleet: each process has a share by its demand, and overshoot is bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from multirouter import LimitPolicy, MultiProviderRouter, Route
from multirouter.testing import virtual_clock
from tests.sharing.fleet import Fleet

PER_MINUTE = 600.0
BURST = 0.05
"""Share of a minute's allowance: 30 requests at once."""

LIMITS = {"limits": LimitPolicy(requests_per_minute=PER_MINUTE, burst=BURST)}
"""Limits of the router; those of providers and routes are shared in the same way."""


async def hammer(router: MultiProviderRouter[Any, Any], per_second: float) -> None:
    """Calls at a rate; rejected calls are rejected at once."""
    while True:
        await asyncio.sleep(1.0 / per_second)
        await router.call_outcome("?")


def allowed(seconds: float) -> float:
    """What one process alone may use in that time."""
    return PER_MINUTE * (BURST + seconds / 60.0)


@pytest.mark.parametrize("processes", [1, 4, 20])
def test_a_fleet_keeps_to_the_limit_of_one_process(processes: int) -> None:
    """Where all want everything: at most a tenth too much, and nearly all of it is used."""

    async def main() -> tuple[int, int]:
        found = Fleet()
        hosts = [f"h{number}" for number in range(processes)]
        routers = await found.start(*hosts, providers=("a",), **LIMITS)
        tasks = [asyncio.create_task(hammer(router, 20.0)) for router in routers]
        await asyncio.sleep(60.0)
        first = found.world.calls["a"]
        await asyncio.sleep(60.0)
        for task in tasks:
            task.cancel()
        await found.aclose()
        return first, found.world.calls["a"] - first

    first, second = virtual_clock.run(main)
    assert first <= 1.1 * allowed(60.0)
    assert 0.85 * PER_MINUTE <= second <= 1.02 * PER_MINUTE


def test_shares_follow_the_demand() -> None:
    """A busy process gets nearly all of what idle ones do not use, within a few intervals."""

    async def main() -> int:
        found = Fleet()
        busy, *_ = await found.start(*"wxyz", providers=("a",), **LIMITS)
        task = asyncio.create_task(hammer(busy, 20.0))
        await asyncio.sleep(30.0)
        before = found.world.calls["a"]
        await asyncio.sleep(60.0)
        task.cancel()
        await found.aclose()
        return found.world.calls["a"] - before

    assert virtual_clock.run(main) >= 0.88 * PER_MINUTE


def test_without_the_server_each_process_keeps_its_last_share() -> None:
    """The limit is neither lifted nor closed, for as long as the server is away."""

    async def main() -> int:
        found = Fleet()
        routers = await found.start(*"wxyz", providers=("a",), **LIMITS)
        tasks = [asyncio.create_task(hammer(router, 20.0)) for router in routers]
        await asyncio.sleep(30.0)
        found.server.down = True
        found.server.disconnect_all()
        await asyncio.sleep(60.0)
        before = found.world.calls["a"]
        await asyncio.sleep(60.0)
        for task in tasks:
            task.cancel()
        await found.aclose()
        return found.world.calls["a"] - before

    assert 0.85 * PER_MINUTE <= virtual_clock.run(main) <= 1.02 * PER_MINUTE


def test_the_share_of_a_process_that_died_is_free_again() -> None:
    """After ten intervals the others use it; a cut-off one meanwhile keeps its own."""

    async def main() -> int:
        found = Fleet()
        routers = await found.start("x", "y", providers=("a",), **LIMITS)
        tasks = [asyncio.create_task(hammer(router, 20.0)) for router in routers]
        await asyncio.sleep(30.0)
        tasks[1].cancel()
        found.server.cut_off = {"y"}
        await asyncio.sleep(45.0)
        before = found.world.calls["a"]
        await asyncio.sleep(60.0)
        tasks[0].cancel()
        await found.aclose()
        return found.world.calls["a"] - before

    assert virtual_clock.run(main) >= 0.95 * PER_MINUTE


def test_limits_of_routes_and_providers_are_shared_and_a_new_limit_too() -> None:
    """Each has shares of its own; a limit that a reload adds begins with the first share."""

    async def main() -> None:
        found = Fleet()
        routers = await found.start(
            "x", "y", providers=("a",), routes=[Route("r", ["a"], **LIMITS)]
        )
        await asyncio.sleep(10.0)
        for router in routers:
            router.update("a", limits=LIMITS["limits"])
        await asyncio.sleep(0.0)
        await asyncio.sleep(15.0)
        shares = [
            {name: limits.share for name, limits in router._engine.states.shared_limits()}
            for router in routers
        ]
        for one, two in zip(shares[0].items(), shares[1].items(), strict=True):
            assert one[0] == two[0]
            assert one[1] + two[1] == pytest.approx(1.0, abs=0.06)
        assert set(shares[0]) == {"provider a", "route r"}
        await found.aclose()

    virtual_clock.run(main)
