"""The timeout of a trial counts under traffic: its lease outlasts its deadline."""

from __future__ import annotations

import anyio

from tests.scenarios.harness import TRIPS_AT_ONCE, harness


async def test_a_trial_that_times_out_opens_the_circuit_again() -> None:
    """A call at the instant of the deadline takes no permit, and the timeout counts."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE, attempt_timeout=5) as env:
        await env.half_open("a")
        env["a"].then("hang", "hang")
        await env.call()  # its copy is the trial
        await anyio.sleep(5)
        await env.call()
        await anyio.sleep(0.1)
        assert env.state("a") == "open"
        assert [record.late for record in env.records("a")] == [False, False]
        assert env["a"].in_flight == 0
