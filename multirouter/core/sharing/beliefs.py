"""Beliefs: the facts that one process knows, merged, and what follows from them.

The merge keeps the fact with the newest stamp in each slot. So it is commutative, associative and
idempotent: facts may be lost and repeated later, doubled, reordered or old, and all processes that
have received the same facts hold the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from multirouter.core.sharing.facts import Fact, FactKind, Opening, Stamp, opening_of
from multirouter.core.sharing.quorum import Quorum

KEPT_EXPIRED = 120.0
"""Seconds that an expired fact is kept, so that a late copy of it is not taken for news."""


class Outage(NamedTuple):
    """What the other processes say about a provider whose circuit is open for them.

    Attributes:
        believed: whether they are a quorum; otherwise the provider is only suspected.
        left: seconds until the circuit that opened last half-opens, or, of a suspicion, until the
            last of them does.
        openings: the most consecutive openings that any of them counts.
        reason: why the newest of their circuits opened.
        processes: number of processes that say so.
    """

    believed: bool
    left: float
    openings: int
    reason: str
    processes: int


class Beliefs:
    """The facts that one process knows.

    Args:
        origin: the id of this process.

    Attributes:
        origin: see Args.
    """

    def __init__(self, origin: str) -> None:
        self.origin: str = origin
        self._clock = 0
        self._facts: dict[tuple[str, str, str], tuple[Fact, float]] = {}

    def __len__(self) -> int:
        """Number of facts, expired ones included."""
        return len(self._facts)

    def new_fact(
        self, kind: FactKind, subject: str, value: Any, now: float, left: float = math.inf
    ) -> Fact:
        """Makes and merges a fact of this process, newer than all that it knows.

        Args:
            kind: see `FactKind`.
            subject: what it is about.
            value: see `Fact`.
            now: loop time, seconds.
            left: seconds for which it stays true.
        """
        fact = Fact(kind, subject, Stamp(self._clock + 1, self.origin), value, left)
        self.merge(fact, now)
        return fact

    def merge(self, fact: Fact, now: float) -> bool:
        """Adds a fact; returns whether it is news. A copy may only shorten its duration.

        Args:
            fact: the fact, with the seconds for which it stays true.
            now: loop time, seconds.
        """
        self._clock = max(self._clock, fact.stamp.clock)
        slot, until = fact.slot, now + fact.left
        known = self._facts.get(slot)
        if known is not None and known[0].stamp >= fact.stamp:
            if known[0].stamp == fact.stamp and until < known[1]:
                self._facts[slot] = known[0], until
            return False
        self._facts[slot] = fact, until
        return True

    def live(self, now: float, origin: str | None = None) -> Iterator[Fact]:
        """The facts that are still true, with the seconds that are left of them.

        Args:
            now: loop time, seconds.
            origin: only those of this process, and those that last, of any process.
        """
        for fact, until in self._facts.values():
            ours = origin is None or fact.stamp.origin == origin or fact.left == math.inf
            if ours and until > now:
                yield fact._replace(left=until - now)

    def setting(self, kind: FactKind, subject: str) -> Fact | None:
        """The newest fact of a kind of which the newest word of any process counts."""
        known = self._facts.get((kind, subject, ""))
        return None if known is None else known[0]

    def subjects(self, kind: FactKind) -> set[str]:
        """What the facts of a kind are about."""
        return {slot[1] for slot in self._facts if slot[0] == kind}

    def cooldown_left(self, provider: str, now: float) -> tuple[float, bool]:
        """Seconds until the last cooldown of a provider in other processes ends, at least 0.

        Returns:
            The seconds, and whether that cooldown began with a rate limit.
        """
        found = [
            (until - now, bool(fact.value))
            for fact, until in self._of("cooldown", provider)
            if fact.stamp.origin != self.origin and until > now
        ]
        return max(found, default=(0.0, False))

    def outage(
        self, provider: str, now: float, quorum: Quorum, processes: int, hosts: int, *, closed: bool
    ) -> Outage | None:
        """What the other processes say about a provider; None when none of them has it open.

        An opening counts until its open duration has passed, or until a circuit of any process that
        knew of it has closed.

        Args:
            provider: its name.
            now: loop time, seconds.
            quorum: when they are believed.
            processes: connected processes.
            hosts: their machines.
            closed: whether the circuit of this process is closed.
        """
        words = list(self._openings(provider, now))
        others = [word for word in words if word[0].stamp.origin != self.origin]
        if not others:
            return None
        openings = [opening_of(fact) for fact, _ in words]
        believed = quorum.reached(openings, processes, hosts, closed=closed)
        newest, newest_until = max(others, key=_stamp)
        return Outage(
            believed,
            (newest_until if believed else max(until for _, until in others)) - now,
            max(opening_of(fact).openings for fact, _ in others),
            opening_of(newest).reason,
            len({fact.stamp.origin for fact, _ in others}),
        )

    def openings(self, provider: str, now: float) -> dict[str, Opening]:
        """What is behind the openings that count, by the id of the process."""
        return {fact.stamp.origin: opening_of(fact) for fact, _ in self._openings(provider, now)}

    def forget_expired(self, now: float) -> None:
        """Drops the facts that expired more than `KEPT_EXPIRED` seconds ago."""
        self._facts = {
            slot: known for slot, known in self._facts.items() if known[1] + KEPT_EXPIRED > now
        }

    def shift(self, by: float) -> None:
        """Moves every instant by `by` seconds, to the clock of another loop."""
        self._facts = {slot: (fact, until + by) for slot, (fact, until) in self._facts.items()}

    def _openings(self, provider: str, now: float) -> Iterable[tuple[Fact, float]]:
        closed = self.setting("closed", provider)
        for fact, until in self._of("open", provider):
            if until > now and (closed is None or fact.stamp > closed.stamp):
                yield fact, until

    def _of(self, kind: FactKind, subject: str) -> Iterable[tuple[Fact, float]]:
        return [known for slot, known in self._facts.items() if slot[:2] == (kind, subject)]


def _stamp(word: tuple[Fact, float]) -> Stamp:
    return word[0].stamp
