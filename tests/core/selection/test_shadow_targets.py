"""The provider that receives a shadow copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from random import Random

from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.shadow_targets import ShadowTargets
from multirouter.core.settings.shadow import Shadow
from tests.core.kit import World, calm


class Fixed(Random):
    """A source of chance that always gives the same number."""

    def __init__(self, number: float) -> None:
        super().__init__(1)
        self.number = number

    def random(self) -> float:
        return self.number


def admitted(member: Candidate) -> bool:
    return True


def targets(world: World, share: float = 1.0) -> ShadowTargets:
    """All providers of a world."""
    members = world.route().members
    return ShadowTargets(Shadow([member.name for member in members], share=share), members)


def chosen(
    world: World, attempted: Collection[str] = (), refused: Collection[str] = ()
) -> Counter[str]:
    """How many of 300 copies each provider receives."""
    found: Counter[str] = Counter()
    for _ in range(300):
        member = targets(world).choose(
            world.rng, attempted, world.now, lambda member: member.name not in refused
        )
        found[member.name if member is not None else "none"] += 1
    return found


def test_the_free_targets_share_evenly() -> None:
    """Each of three gets about a hundred, each of two about half."""
    counts = chosen(calm("a", "b", "c"))
    assert set(counts) == {"a", "b", "c"}
    assert min(counts.values()) > 70
    pair = chosen(calm("a", "b"))
    assert set(pair) == {"a", "b"}
    assert min(pair.values()) > 110


def test_what_excludes_a_target() -> None:
    """It was attempted, its circuit is open, or it is refused for another reason."""
    world = calm("a", "b", "c", "d")
    world.states.gates["b"].set_hold("open", world.now)
    assert chosen(world, attempted=["a"], refused=["c"]) == {"d": 300}
    assert chosen(world, attempted=["a", "d"], refused=["c"]) == {"none": 300}


def test_the_share_of_calls_that_are_copied() -> None:
    """The number of chance must be below it: at 0 no call is copied."""
    world = calm("a")
    for share, number, copied in ((0.5, 0.4, True), (0.5, 0.5, False), (0.0, 0.0, False)):
        member = targets(world, share).choose(Fixed(number), (), world.now, admitted)
        assert (member is not None) is copied
    assert targets(world).policy.share == 1.0
