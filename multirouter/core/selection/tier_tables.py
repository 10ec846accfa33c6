"""Tier table: the providers of a tier that are available now, healthy ones before degraded ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

from multirouter.core import function_checks as hooks
from multirouter.core.change_counter import ChangeCounter
from multirouter.core.selection.candidate import Candidate
from multirouter.core.selection.eligibility import NONE_EXCLUDED
from multirouter.core.selection.panic import is_panic, selectable_in_panic
from multirouter.core.selection.sticky import Sticky
from multirouter.core.selection.strategies import Balanced, Ranked
from multirouter.core.selection.weighted import (
    Choose,
    OnStrategyError,
    Strategy,
    StrategyChoice,
    WeightedChoice,
)
from multirouter.errors import ConfigurationError

RAMP_STEPS = 10
"""Steps in which a ramp grows: each costs one rebuild of the tier's table."""

MAX_TABLES = 32
"""Tables that a tier keeps for requests for which some providers are ineligible."""


class ChoicePolicy:
    """How a tier chooses: its strategy, prepared for the tier, and its panic threshold.

    Attributes:
        first_choice: names of the members that are chosen when all are available: without
            reserves, and by a fixed rank only the best.
        how: the choice in words.
        remark: what the strategy cannot do for lack of settings, as text, or "".
        panic: the share of selectable members, 0 to 1, below which circuits are ignored; None
            never ignores them.
        sticky: the strategy, if it is `Sticky`, else None.
    """

    __slots__ = (
        "_choose",
        "_on_error",
        "_strategy",
        "first_choice",
        "how",
        "panic",
        "remark",
        "sticky",
    )

    def __init__(
        self,
        members: Sequence[Candidate],
        strategy: Strategy | None = None,
        on_error: OnStrategyError | None = None,
        panic: float | None = None,
    ) -> None:
        self._choose: Choose | None = None
        if strategy is not None:
            what = f"{type(strategy).__name__}.prepare()"
            choose = hooks.plain_function(what, strategy.prepare(members), "candidates", "context")
            if choose is None:
                raise ConfigurationError(what, "must return the function that chooses, got None")
            self._choose = choose
        self._on_error = on_error
        self._strategy = strategy
        self.sticky: Sticky | None = strategy if isinstance(strategy, Sticky) else None
        self.how: str = "chosen by weight"
        if strategy is not None:
            self.how = getattr(strategy, "description", type(strategy).__name__)
        self.panic: float | None = panic
        usual = [member for member in members if member.weight > 0] or members
        self.remark: str = ""
        if isinstance(strategy, Ranked):
            usual = strategy.best(usual)
        if isinstance(strategy, Ranked | Balanced):
            self.remark = strategy.remark(members)
        self.first_choice: frozenset[str] = frozenset(member.name for member in usual)

    def for_members(self, members: Sequence[Candidate]) -> ChoicePolicy:
        """The same policy, prepared for other members."""
        return ChoicePolicy(members, self._strategy, self._on_error, self.panic)

    def choice(self, members: Sequence[Candidate], now: float, why: str) -> WeightedChoice:
        """Returns the choice among `members`, as of `now` (loop time, seconds)."""
        if self._choose is None or self._on_error is None:
            return WeightedChoice(members, now, why)
        return StrategyChoice(members, now, why, self._choose, self._on_error)


class TierTable:
    """The available members of a tier, as of one revision of the gates.

    Attributes:
        revision: the revision of the gates at which it was made.
        valid_until: loop time at which time alone makes it stale, seconds.
        selectable: the members that take part in the choice.
        healthy: the choice among those that are not degraded.
        degraded: the choice among those that are degraded; None when there are none.
        half_open: members whose circuit is half-open.
        panic: whether circuits are ignored because too few members are selectable.
    """

    __slots__ = (
        "degraded",
        "half_open",
        "healthy",
        "panic",
        "revision",
        "selectable",
        "valid_until",
    )

    def __init__(
        self, members: Sequence[Candidate], revision: int, now: float, policy: ChoicePolicy
    ) -> None:
        selectable = [member for member in members if member.gate.selectable(now)]
        self.panic: bool = is_panic(policy.panic, len(selectable), len(members))
        if self.panic:
            selectable = selectable_in_panic(members)
        self.revision: int = revision
        self.half_open: list[Candidate] = (
            [] if self.panic else [member for member in members if member.gate.half_open(now)]
        )
        self.valid_until: float = min(
            (_changes_at(member, now) for member in members), default=math.inf
        )
        self.selectable: list[Candidate] = selectable
        included = set(selectable)
        unavailable = [
            f"{member.name} {member.gate.rejection(now) or 'half-open'}"
            for member in members
            if member not in included
        ]
        degraded = [] if self.panic else [m for m in selectable if m.degraded_at(now)]
        healthy = selectable
        if degraded:
            worse = set(degraded)
            healthy = [member for member in selectable if member not in worse]
        how = f"panic: {policy.how}" if self.panic else policy.how
        skipped = [*unavailable, *(f"{member.name} degraded" for member in degraded)]
        self.healthy: WeightedChoice = policy.choice(healthy, now, _why(how, healthy, skipped))
        self.degraded: WeightedChoice | None = None
        if degraded:
            why = _why(f"degraded, {how}", degraded, unavailable)
            self.degraded = policy.choice(degraded, now, why)

    def share(self, member: Candidate) -> float | None:
        """The member's share of the choice, 0 to 1; None when weights do not decide."""
        if self.degraded is not None and not self.healthy.members:
            return self.degraded.share(member)
        return self.healthy.share(member)


def _why(how: str, members: Sequence[Candidate], skipped: Sequence[str]) -> str:
    count = sum(member.weight > 0 for member in members)
    among = f"{how} among {count}" if count > 1 else "only candidate"
    return f"{among}; skipped: {', '.join(skipped)}" if skipped else among


def _changes_at(member: Candidate, now: float) -> float:
    at = member.gate.changes_at(now)
    if member.health.degraded:
        at = min(at, member.health.changes_at())
    span = member.gate.circuit.policy.ramp
    if span and member.gate.circuit.closed_for(now) < span:
        at = min(at, now + span / RAMP_STEPS)
    return at


class Tier:
    """Interchangeable providers of a route; their table is rebuilt when a gate changes.

    Attributes:
        members: the providers, in the route's order.
        policy: how one of them is chosen.
    """

    __slots__ = ("_filtered_tables", "_revision", "_table", "members", "policy")

    def __init__(
        self,
        members: Sequence[Candidate],
        revision: ChangeCounter,
        policy: ChoicePolicy | None = None,
    ) -> None:
        self.members: tuple[Candidate, ...] = tuple(members)
        self.policy: ChoicePolicy = policy or ChoicePolicy(self.members)
        self._revision = revision
        self._table: TierTable | None = None
        self._filtered_tables: dict[frozenset[str], TierTable] = {}

    def with_members(self, members: Sequence[Candidate]) -> Tier:
        """A tier of other members with the same policy."""
        return Tier(members, self._revision, self.policy.for_members(members))

    def table(self, now: float, ineligible: frozenset[str] = NONE_EXCLUDED) -> TierTable:
        """The table that is valid at `now`, without the members that are `ineligible`."""
        table = self._filtered_tables.get(ineligible) if ineligible else self._table
        if table is None or table.revision != self._revision.value or now >= table.valid_until:
            return self._rebuild(now, ineligible)
        return table

    def view(self, now: float, ineligible: frozenset[str] = NONE_EXCLUDED) -> TierTable:
        """As `table`, but changes nothing, so that any thread may look."""
        members = [member for member in self.members if member.key not in ineligible]
        return TierTable(members, self._revision.value, now, self.policy)

    def _rebuild(self, now: float, ineligible: frozenset[str]) -> TierTable:
        members = self.members
        if ineligible:
            members = tuple(member for member in members if member.key not in ineligible)
        for member in members:
            member.refresh(now)  # may raise the revision, so it comes first
        table = TierTable(members, self._revision.value, now, self.policy)
        if not ineligible:
            self._table = table
            return table
        if len(self._filtered_tables) >= MAX_TABLES:
            self._filtered_tables.clear()
        self._filtered_tables[ineligible] = table
        return table
