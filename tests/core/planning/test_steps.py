"""Steps of a plan."""

from __future__ import annotations

import math

from multirouter.core.planning.steps import ServeStep, WaitStep
from multirouter.core.request_transform import Dropping
from tests.core.kit import World, provider


def test_new_attempt_step() -> None:
    """A new attempt has no trials, no hedge time, and has served nothing."""
    world = World([provider("a")])
    step = world.next_attempt(world.plan())
    assert (step.trials, step.hedge_at, step.role) == ((), math.inf, "call")
    assert (step.served_at, step.slow, step.started) == (None, False, world.now)
    assert ServeStep(step).attempt is step


def test_wait_step() -> None:
    """A wait is for time, or for capacity."""
    assert (
        WaitStep(3.0, for_capacity=True).until,
        WaitStep(3.0, for_capacity=False).for_capacity,
    ) == (
        3.0,
        False,
    )


async def test_a_call_without_what_the_provider_lacks() -> None:
    """The function gets the rest of the request; the step names what was left out."""
    seen: list[object] = []

    async def call(request: object) -> str:
        seen.append(request)
        return "ok"

    world = World([provider("a").replace(call=call)])
    step = world.next_attempt(world.plan())
    assert step.dropped == ()
    dropping = Dropping(lambda _: {"seed": "no seed"}, ())
    assert await step.call_dropping(dropping, {"model": "m", "seed": 1}) == "ok"
    assert (seen, step.dropped) == ([{"model": "m"}], ("seed",))
