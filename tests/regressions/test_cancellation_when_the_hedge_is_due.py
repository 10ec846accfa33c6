"""A call that is cancelled when its hedge is due ends as cancelled, not as failed."""

from __future__ import annotations

from random import Random

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import HedgePolicy, MultiProviderRouter, Provider, RetryPolicy
from multirouter.testing import Recorder, VirtualClock


async def results(iterations: int) -> list[str]:
    """How calls end that are cancelled some iterations of the loop after their hedge was due."""
    recorder = Recorder()

    async def hangs(request: str) -> str:
        await anyio.sleep_forever()
        return request

    router = MultiProviderRouter(
        [Provider("a", hangs), Provider("b", hangs)],
        hedge=HedgePolicy(after=0.0),
        retry=RetryPolicy(attempts=1),  # a pause between rounds would notice the cancellation
        listeners=[recorder],
        registry=CollectorRegistry(),
        rng=Random(1),
    )
    router.hold("b", "open")
    scope = anyio.CancelScope()

    async def cancel() -> None:
        for _ in range(iterations):
            await anyio.sleep(0)
        scope.cancel()

    async with router, anyio.create_task_group() as group:
        group.start_soon(cancel)
        with scope:
            await router.call("q")
    return [outcome.result for outcome in recorder.calls]


@pytest.mark.parametrize("iterations", range(6))
def test_cancellation_and_hedge_in_any_order_end_as_cancelled(iterations: int) -> None:
    """Whichever comes first, the call ends as cancelled and raises nothing else."""
    for seed in range(8):
        assert VirtualClock(shuffle_seed=seed).run(results, iterations) == ["cancelled"]


@pytest.mark.parametrize("iterations", range(6))
async def test_cancellation_when_the_hedge_is_due_on_every_backend(iterations: int) -> None:
    """The same on every backend."""
    assert await results(iterations) == ["cancelled"]
