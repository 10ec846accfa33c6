"""A race went on asking providers after the call's deadline while one would not be cancelled."""

from __future__ import annotations

from random import Random

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import CallTimeout, HedgePolicy, MultiProviderRouter, Provider


@pytest.mark.backends("asyncio", "uvloop")  # trio cancels again at each await
async def test_nobody_is_asked_after_the_deadline() -> None:
    """Nobody is asked from the deadline on; it ends with the stubborn one, a second later."""
    asked: list[float] = []

    async def stubborn(request: str) -> str:
        asked.append(anyio.current_time())
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            await anyio.sleep_forever()
        return request

    router = MultiProviderRouter(
        [Provider(name, stubborn) for name in "abcd"],
        hedge=HedgePolicy(after=0.25, at_most=4),
        registry=CollectorRegistry(),
        rng=Random(1),
    )
    async with router:
        started = anyio.current_time()
        with pytest.raises(CallTimeout) as caught:
            await router.call("q", timeout=0.5)
        assert [at - started for at in asked] == [0.0, 0.25]
        assert caught.value.elapsed == pytest.approx(1.5, abs=0.01)
