"""Choosing the provider that receives a shadow copy."""

from __future__ import annotations

from collections.abc import Container, Sequence
from random import Random

from multirouter.core.selection.candidate import Candidate
from multirouter.core.settings.shadow import Shadow


class ShadowTargets:
    """Who gets the copies of one route's calls.

    Attributes:
        policy: the shadow that says so.
        members: the providers, as this configuration knows them.
    """

    __slots__ = ("members", "policy")

    def __init__(self, policy: Shadow, members: Sequence[Candidate]) -> None:
        self.policy: Shadow = policy
        self.members: Sequence[Candidate] = members

    def drawn(self, rng: Random, asked: Container[str], now: float) -> Candidate | None:
        """Who gets a copy of a call that has asked these providers; None for nobody."""
        if rng.random() >= self.policy.share:
            return None
        free = [m for m in self.members if m.name not in asked and m.gate.closed(now)]
        if len(free) < 2:
            return free[0] if free else None
        return free[rng.randrange(len(free))]
