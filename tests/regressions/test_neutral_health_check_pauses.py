"""A health check with a neutral result is repeated after a pause, not in a busy loop."""

from __future__ import annotations

from itertools import pairwise

import anyio

from multirouter.testing import StatusError
from tests.scenarios.harness import TRIPS_AT_ONCE, harness, scripted


async def test_a_neutral_health_check_is_repeated_after_the_open_duration() -> None:
    """A 400 is followed by the open duration, not by the next health check in the same tick."""
    called_at: list[float] = []

    async def health_check() -> None:
        called_at.append(anyio.current_time())
        raise StatusError("malformed", status=400, headers={})

    async with harness(scripted("a", health_check=health_check), "b", circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        await anyio.sleep(35)
        pauses = [round(second - first) for first, second in pairwise(called_at)]
        assert pauses == [10, 10]
        assert env.state("a") == "half_open"
