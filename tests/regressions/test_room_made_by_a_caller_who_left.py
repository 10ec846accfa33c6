"""A caller who left amid an attempt freed its slot, but nobody told those who waited for it."""

from __future__ import annotations

import pytest

from multirouter import HedgePolicy, LimitPolicy
from tests.scenarios.kit import house, play


@pytest.mark.parametrize("hedge", [None, HedgePolicy(after=50.0)], ids=["alone", "in a race"])
async def test_whoever_waits_is_served_at_once(hedge: HedgePolicy | None) -> None:
    """A cancelled call hands its slot to the first in line, alone or in a race."""
    provider = play("a", "hang", limits=LimitPolicy(in_flight=1))
    async with house(provider, play("b"), hedge=hedge) as home:
        busy = await home.begun("a")
        waiting = await home.begun("a", wait=100)
        await busy.cancel()
        assert (await waiting.end()).elapsed < 0.1
