"""A race starts no attempt after the call's deadline while another one resists cancellation."""

from __future__ import annotations

from random import Random

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import CallTimeout, HedgePolicy, MultiProviderRouter, Provider


@pytest.mark.backends("asyncio", "uvloop")  # trio cancels again at each await
async def test_no_attempt_starts_after_the_deadline() -> None:
    """The call ends with the attempt that swallowed its cancellation, a second later."""
    attempted_at: list[float] = []

    async def stubborn(request: str) -> str:
        attempted_at.append(anyio.current_time())
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            await anyio.sleep_forever()
        return request

    router = MultiProviderRouter(
        [Provider(name, stubborn) for name in "abcd"],
        hedge=HedgePolicy(after=0.25, max_in_flight=4),
        registry=CollectorRegistry(),
        rng=Random(1),
    )
    async with router:
        started = anyio.current_time()
        with pytest.raises(CallTimeout) as caught:
            await router.call("q", timeout=0.5)
        assert [at - started for at in attempted_at] == [0.0, 0.25]
        assert caught.value.elapsed == pytest.approx(1.5, abs=0.01)
