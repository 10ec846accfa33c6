"""The losers of a race were cancelled in an order of chance, so that no seed could repeat it."""

from __future__ import annotations

import asyncio
from random import Random

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import HedgePolicy, MultiProviderRouter, Provider, RetryPolicy
from multirouter.testing import Recorder, VirtualClock

NAMES = "abcdefgh"


async def ended(leaving: bool) -> tuple[list[str], list[str]]:
    """Who hung in a race, as they began and as they ended: lost, or left by their caller."""
    news, begun = Recorder(), list[str]()

    def runner(name: str) -> Provider[str, str, str]:
        async def call(request: str) -> str:
            begun.append(name)
            await anyio.sleep(5.0)
            return request

        return Provider(name, call)

    router = MultiProviderRouter(
        [runner(name) for name in NAMES],
        hedge=HedgePolicy(after=0.1, at_most=len(NAMES)),
        retry=RetryPolicy(attempts=len(NAMES), budget_floor=2 * len(NAMES)),
        listeners=[news],
        registry=CollectorRegistry(),
        rng=Random(1),
    )
    async with router:
        if leaving:
            task = asyncio.ensure_future(router.call("q"))
            await anyio.sleep(2.0)
            task.cancel()
            await asyncio.wait([task])
        else:
            await router.call("q")
    return begun, [record.provider for record in news.attempts if record.outcome == "cancelled"]


@pytest.mark.parametrize("leaving", [False, True])
def test_losers_end_in_the_order_in_which_they_began(leaving: bool) -> None:
    """Whether somebody else won or the caller's task was cancelled."""
    begun, cancelled = VirtualClock().run(ended, leaving)
    assert len(begun) == len(NAMES)
    assert cancelled == (begun if leaving else begun[1:])
