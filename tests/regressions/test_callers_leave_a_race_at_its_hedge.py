"""A caller who left a race at the very instant of its hedge was told that everybody had failed."""

from __future__ import annotations

from random import Random

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import HedgePolicy, MultiProviderRouter, Provider, RetryPolicy
from multirouter.testing import Recorder, VirtualClock


async def results(turns: int) -> list[str]:
    """How a call ends whose caller leaves it some turns of the loop after its hedge was due."""
    news = Recorder()

    async def hangs(request: str) -> str:
        await anyio.sleep_forever()
        return request

    router = MultiProviderRouter(
        [Provider("a", hangs), Provider("b", hangs)],
        hedge=HedgePolicy(after=0.0),
        retry=RetryPolicy(attempts=1),  # else a rest between rounds finds the caller gone
        listeners=[news],
        registry=CollectorRegistry(),
        rng=Random(1),
    )
    router.hold("b", "open")
    scope = anyio.CancelScope()

    async def leave() -> None:
        for _ in range(turns):
            await anyio.sleep(0)
        scope.cancel()

    async with router, anyio.create_task_group() as group:
        group.start_soon(leave)
        with scope:
            await router.call("q")
    return [outcome.result for outcome in news.calls]


@pytest.mark.parametrize("turns", range(6))
def test_who_leaves_when_the_hedge_is_due_has_left(turns: int) -> None:
    """Whichever of the two comes first, the call ends as cancelled, and raises nothing else."""
    for seed in range(8):
        assert VirtualClock(shuffle_seed=seed).run(results, turns) == ["cancelled"]


@pytest.mark.parametrize("turns", range(6))
async def test_who_leaves_when_the_hedge_is_due_has_left_everywhere(turns: int) -> None:
    """The same on every backend."""
    assert await results(turns) == ["cancelled"]
