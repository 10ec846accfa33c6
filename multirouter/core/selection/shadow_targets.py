"""Choosing the provider that receives a shadow copy."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from random import Random

from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.shadow import Shadow


class ShadowTargets:
    """The providers that may receive shadow copies of one route's calls.

    Attributes:
        policy: the route's shadow settings.
        members: the providers.
    """

    __slots__ = ("members", "policy")

    def __init__(self, policy: Shadow, members: Sequence[Candidate]) -> None:
        self.policy: Shadow = policy
        self.members: Sequence[Candidate] = members

    def choose(
        self,
        rng: Random,
        attempted: Container[str],
        now: float,
        admits: Callable[[Candidate], bool],
    ) -> Candidate | None:
        """Chooses the provider that receives a copy of a call; None for no copy.

        Args:
            rng: source of chance.
            attempted: names of the providers that the call has attempted.
            now: loop time, seconds.
            admits: whether a provider may get copies, beside being available for calls.
        """
        if rng.random() >= self.policy.share:
            return None
        free = [
            member
            for member in self.members
            if member.name not in attempted and member.gate.selectable(now) and admits(member)
        ]
        if len(free) < 2:
            return free[0] if free else None
        return free[rng.randrange(len(free))]
