"""A trial's lease ended with its deadline, so under traffic its timeout came too late to count."""

from __future__ import annotations

import anyio

from tests.scenarios.kit import BRITTLE, house


async def test_a_trial_that_is_cut_off_opens_the_circuit_again() -> None:
    """A call at the very instant of the deadline takes no permit, and the timeout counts."""
    async with house("a", "b", circuit=BRITTLE, attempt_timeout=5) as home:
        await home.half_open("a")
        home["a"].then("hang", "hang")
        await home.call()  # its copy is the trial
        await anyio.sleep(5)
        await home.call()
        await anyio.sleep(0.1)
        assert home.state("a") == "open"
        assert [record.late for record in home.records("a")] == [False, False]
        assert home["a"].in_flight == 0
