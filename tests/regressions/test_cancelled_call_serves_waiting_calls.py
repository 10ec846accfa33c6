"""A call that is cancelled during an attempt frees its slot for waiting calls at once."""

from __future__ import annotations

import pytest

from multirouter import HedgePolicy, LimitPolicy
from tests.scenarios.harness import harness, scripted


@pytest.mark.parametrize("hedge", [None, HedgePolicy(after=50.0)], ids=["alone", "in a race"])
async def test_the_first_waiting_call_is_served_at_once(hedge: HedgePolicy | None) -> None:
    """A cancelled call passes its slot to the longest waiting call, alone or in a race."""
    provider = scripted("a", "hang", limits=LimitPolicy(in_flight=1))
    async with harness(provider, scripted("b"), hedge=hedge) as env:
        busy = await env.start("a")
        waiting = await env.start("a", wait=100)
        await busy.cancel()
        assert (await waiting.end()).elapsed < 0.1
