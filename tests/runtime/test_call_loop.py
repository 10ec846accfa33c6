"""The waits of a call between its attempts."""

from __future__ import annotations

from random import Random

from multirouter import RetryPolicy
from multirouter.testing import Answer, Fault, VirtualClock
from tests.scenarios.harness import harness, scripted


class SlowRandom(Random):
    """A source of chance that takes a second of the loop's time for each number."""

    def random(self) -> float:
        """A number, a second later."""
        VirtualClock.stall(1.0)
        return super().random()


async def test_a_backoff_may_be_over_when_it_begins() -> None:
    """Deciding takes time: a backoff that is shorter is no wait, and no error of the sleep."""
    short = RetryPolicy(attempts=3, base=0.01)
    script = [Fault("error", status=500), Answer("yes")]
    async with harness(scripted("a", *script), retry=short, rng=SlowRandom(1)) as env:
        assert await env.call() == "yes"
