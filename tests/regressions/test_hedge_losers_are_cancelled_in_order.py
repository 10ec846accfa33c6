"""The losers of a hedge race are cancelled in a fixed order, so that a seed repeats a run."""

from __future__ import annotations

import asyncio
from random import Random

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import HedgePolicy, MultiProviderRouter, Provider, RetryPolicy
from multirouter.testing import Recorder, VirtualClock

NAMES = "abcdefgh"


async def run_race(cancelled_by_caller: bool) -> tuple[list[str], list[str]]:
    """Names of the raced providers as they began, and as they were cancelled."""
    recorder, started = Recorder(), list[str]()

    def provider(name: str) -> Provider[str, str, str]:
        async def call(request: str) -> str:
            started.append(name)
            await anyio.sleep(5.0)
            return request

        return Provider(name, call)

    router = MultiProviderRouter(
        [provider(name) for name in NAMES],
        hedge=HedgePolicy(after=0.1, max_in_flight=len(NAMES)),
        retry=RetryPolicy(attempts=len(NAMES), budget_floor=2 * len(NAMES)),
        listeners=[recorder],
        registry=CollectorRegistry(),
        rng=Random(1),
    )
    async with router:
        if cancelled_by_caller:
            task = asyncio.ensure_future(router.call("q"))
            await anyio.sleep(2.0)
            task.cancel()
            await asyncio.wait([task])
        else:
            await router.call("q")
    return started, [
        record.provider for record in recorder.attempts if record.outcome == "cancelled"
    ]


@pytest.mark.parametrize("cancelled_by_caller", [False, True])
def test_losers_end_in_the_order_in_which_they_began(cancelled_by_caller: bool) -> None:
    """Whether another attempt won or the caller's task was cancelled."""
    started, cancelled = VirtualClock().run(run_race, cancelled_by_caller)
    assert len(started) == len(NAMES)
    assert cancelled == (started if cancelled_by_caller else started[1:])
