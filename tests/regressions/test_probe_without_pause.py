"""A `health_check=` whose answer taught nothing was asked again at once, without end and without rest."""

from __future__ import annotations

from itertools import pairwise

import anyio

from multirouter.testing import StatusError
from tests.scenarios.kit import BRITTLE, house, play


async def test_a_probe_that_teaches_nothing_is_repeated_after_a_rest() -> None:
    """A 400 is followed by a rest of the open time, not by the next probe in the same tick."""
    asked: list[float] = []

    async def health_check() -> None:
        asked.append(anyio.current_time())
        raise StatusError("malformed", status=400, headers={})

    async with house(play("a", health_check=health_check), "b", circuit=BRITTLE) as home:
        await home.fail("a")
        await anyio.sleep(35)
        rests = [round(second - first) for first, second in pairwise(asked)]
        assert rests == [10, 10]
        assert home.state("a") == "half_open"
