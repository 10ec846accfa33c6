"""Who: the providers of a tier that can be asked now, the healthy before the degraded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from multirouter.core.change_counter import ChangeCounter
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.weighted import Choose, Strategy, StrategyChoice, WeightedChoice

RAMP_STEPS = 10
"""Steps in which a ramp grows: each costs one rebuilding of the draw table."""

MOST_TABLES = 32
"""Draw tables that a tier keeps for requests that not everybody fits."""

NOBODY: frozenset[str] = frozenset()


Broken = Callable[[Choose, Exception], None]
"""Told of a strategy that raised, and of what it raised."""


class ChoicePolicy:
    """How a tier chooses: its strategy, ready to choose, and how that is told.

    Attributes:
        how: the choice in words.
    """

    __slots__ = ("_broken", "_choose", "how", "panic")

    def __init__(
        self,
        members: Sequence[Candidate],
        strategy: Strategy | None = None,
        broken: Broken | None = None,
        panic: float | None = None,
    ) -> None:
        self._choose = None if strategy is None else strategy.prepare(members)
        self._broken = broken
        self.how: str = "drawn by weight"
        if strategy is not None:
            self.how = getattr(strategy, "how", type(strategy).__name__)
        self.panic: float | None = panic

    def draw(self, members: Sequence[Candidate], now: float, why: str) -> WeightedChoice:
        """What chooses among `members`."""
        if self._choose is None or self._broken is None:
            return WeightedChoice(members, now, why)
        return StrategyChoice(members, now, why, self._choose, self._broken)


class TierTable:
    """Who takes part in the choice, as of one revision of the gates.

    Attributes:
        revision: the revision it was made at.
        valid_until: loop time at which time alone makes it stale.
        healthy: chooses among those who are closed and well.
        degraded: chooses among those who are closed and degraded; None when there are none.
        closed: all of them.
        trials: members whose circuit is half-open.
        panicked: whether circuits were ignored because too few are closed.
    """

    __slots__ = (
        "closed",
        "degraded",
        "healthy",
        "panic_started",
        "revision",
        "trials",
        "valid_until",
    )

    def __init__(
        self, members: Sequence[Candidate], revision: int, now: float, terms: ChoicePolicy
    ) -> None:
        panic = terms.panic
        closed = [member for member in members if member.gate.closed(now)]
        self.panic_started: bool = panic is not None and len(closed) < panic * len(members)
        if self.panic_started:
            closed = [member for member in members if member.gate.hold != "open"]
        self.revision: int = revision
        self.trials: list[Candidate] = (
            [] if self.panic_started else [m for m in members if m.gate.on_trial(now)]
        )
        self.valid_until: float = min(
            (_changes_at(member, now) for member in members), default=math.inf
        )
        self.closed: list[Candidate] = closed
        inside = set(closed)
        out = [f"{m.name} {m.gate.refuses(now) or 'on trial'}" for m in members if m not in inside]
        ill = [] if self.panic_started else [member for member in closed if member.degraded]
        well = [member for member in closed if not member.degraded] if ill else closed
        how = f"panic: {terms.how}" if self.panic_started else terms.how
        over = [*out, *(f"{member.name} degraded" for member in ill)]
        self.healthy: WeightedChoice = terms.draw(well, now, _why(how, well, over))
        self.degraded: WeightedChoice | None = None
        if ill:
            self.degraded = terms.draw(ill, now, _why(f"degraded, {how}", ill, out))

    def share(self, member: Candidate) -> float | None:
        """The member's share of the choice, 0 to 1; None where no weights decide."""
        if self.degraded is not None and not self.healthy.members:
            return self.degraded.share(member)
        return self.healthy.share(member)


def _why(how: str, members: Sequence[Candidate], passed_over: Sequence[str]) -> str:
    drawn = sum(member.weight > 0 for member in members)
    among = f"{how} among {drawn}" if drawn > 1 else "only one"
    return f"{among}; passed over: {', '.join(passed_over)}" if passed_over else among


def _changes_at(member: Candidate, now: float) -> float:
    at = member.gate.changes_at(now)
    if member.health.degraded:
        at = min(at, member.health.changes_at())
    span = member.gate.circuit.policy.ramp
    if span and member.gate.circuit.closed_for(now) < span:
        at = min(at, now + span / RAMP_STEPS)
    return at


class Tier:
    """Providers that stand for each other; the draw table is rebuilt when a door changes."""

    __slots__ = ("_fitting", "_revision", "_table", "members", "terms")

    def __init__(
        self,
        members: Sequence[Candidate],
        revision: ChangeCounter,
        terms: ChoicePolicy | None = None,
    ) -> None:
        self.members: tuple[Candidate, ...] = tuple(members)
        self.terms: ChoicePolicy = terms or ChoicePolicy(self.members)
        self._revision = revision
        self._table: TierTable | None = None
        self._fitting: dict[frozenset[str], TierTable] = {}

    def table(self, now: float, unfit: frozenset[str] = NOBODY) -> TierTable:
        """The draw table that is right at `now`, without those who are `unfit`."""
        table = self._fitting.get(unfit) if unfit else self._table
        if table is None or table.revision != self._revision.value or now >= table.valid_until:
            return self._renewed(now, unfit)
        return table

    def _renewed(self, now: float, unfit: frozenset[str]) -> TierTable:
        members = self.members
        if unfit:
            members = tuple(member for member in members if member.name not in unfit)
        for member in members:
            member.look(now)  # may raise the revision, so that comes first
        table = TierTable(members, self._revision.value, now, self.terms)
        if not unfit:
            self._table = table
            return table
        if len(self._fitting) >= MOST_TABLES:
            self._fitting.clear()
        self._fitting[unfit] = table
        return table
