"""What a plan can say."""

from __future__ import annotations

import math

from multirouter.core.planning.steps import ServeStep, WaitStep
from tests.core.kit import World, provider


def test_a_try_begins_alone() -> None:
    """A new attempt has no copies beside it, wants no hedge and has served nothing."""
    world = World([provider("a")])
    step = world.trying(world.plan())
    assert (step.copies, step.hedge_at, step.role) == ((), math.inf, "call")
    assert (step.served_at, step.slow, step.started) == (None, False, world.now)
    assert ServeStep(step).attempt is step


def test_a_wait_says_for_what() -> None:
    """A rest is for time, or for room."""
    assert (WaitStep(3.0, for_room=True).until, WaitStep(3.0, for_room=False).for_room) == (
        3.0,
        False,
    )
