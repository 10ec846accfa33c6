"""Room that an attempt made in a race was told to nobody before the whole race had ended."""

from __future__ import annotations

import pytest

from multirouter import HedgePolicy, LimitPolicy, RetryPolicy
from multirouter.testing import Fault
from tests.scenarios.kit import house, play


async def test_a_failed_attempt_of_a_race_makes_room_at_once() -> None:
    """Its slot goes to the first in line while the hedge beside it goes on."""
    provider = play("a", Fault("error", after=2.0), limits=LimitPolicy(in_flight=1))
    # The hedge keeps the race going when the first attempt has failed.
    slow = play("b", Fault("slow", after=20.0))
    settings = {"hedge": HedgePolicy(after=1.0), "retry": RetryPolicy()}
    async with house(provider, slow, **settings) as home:
        racing = await home.begun("a", "b")
        waiting = await home.begun("a", wait=100)
        assert (await waiting.end()).elapsed == pytest.approx(2.0, abs=0.1)
        assert not racing.ended
        assert (await racing.end()).provider == "b"
        assert [record.role for record in (await racing.end()).attempts] == ["call", "hedge"]
