"""An attempt that fails within a race frees its slot for waiting calls before the race ends."""

from __future__ import annotations

import pytest

from multirouter import HedgePolicy, LimitPolicy, RetryPolicy
from multirouter.testing import Fault
from tests.scenarios.harness import harness, scripted


async def test_a_failed_attempt_of_a_race_frees_its_slot_at_once() -> None:
    """Its slot goes to the longest waiting call while the hedge goes on."""
    provider = scripted("a", Fault("error", after=2.0), limits=LimitPolicy(in_flight=1))
    # The hedge keeps the race going when the first attempt has failed.
    slow = scripted("b", Fault("slow", after=20.0))
    settings = {"hedge": HedgePolicy(after=1.0), "retry": RetryPolicy()}
    async with harness(provider, slow, **settings) as env:
        racing = await env.start("a", "b")
        waiting = await env.start("a", wait=100)
        assert (await waiting.end()).elapsed == pytest.approx(2.0, abs=0.1)
        assert not racing.ended
        assert (await racing.end()).provider == "b"
        assert [record.role for record in (await racing.end()).attempts] == ["call", "hedge"]
