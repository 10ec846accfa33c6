"""Choice among the candidates of a tier: by weight, or by the route's strategy."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from math import floor
from random import Random
from typing import Any, Protocol

from multirouter.core.selection.candidate import Candidate

RAMP_START = 0.1
"""The share of its weight that a recovered provider starts with.

Source: Envoy's slow start, `min_weight_percent` 10 %.
"""

MAX_REDRAWS = 4
"""Draws that may hit an excluded member before the others are weighed exactly. Both ways give the
same shares, but another random choice costs the same for three providers and for a thousand."""


def ramp(member: Candidate, now: float) -> float:
    """The share of its weight that a member gets at `now`: below 1 while it recovers."""
    span = member.gate.circuit.policy.ramp
    if not span:
        return 1.0
    return min(1.0, max(RAMP_START, member.gate.circuit.closed_for(now) / span))


class WeightedChoice:
    """Weighted random choice among members; those of weight 0 are reserves.

    Attributes:
        members: the members of a weight above 0, in the tier's order.
        why: how a member is chosen, in words.
    """

    __slots__ = (
        "_count",
        "_cumulative",
        "_equal",
        "_reserves",
        "_total",
        "_weights",
        "members",
        "why",
    )

    def __init__(self, members: Sequence[Candidate], now: float, why: str = "") -> None:
        self.members: tuple[Candidate, ...] = tuple(
            member for member in members if member.weight > 0
        )
        self.why: str = why
        self._reserves = [member for member in members if member.weight == 0]
        self._weights = [member.weight * ramp(member, now) for member in self.members]
        self._cumulative = list(accumulate(self._weights))
        self._total = self._cumulative[-1] if self._cumulative else 0.0
        self._count = float(len(self.members))  # a product of floats is cheaper
        self._equal = len(self.members) > 1 and len(set(self._weights)) == 1

    def pick(
        self, rng: Random, excluded: Collection[str], now: float, request: Any = None
    ) -> Candidate | None:
        """Chooses one member that is not excluded; a reserve only when no other member is left.

        Args:
            rng: source of chance.
            excluded: keys of the members that must not be chosen.
            now: loop time, seconds; for strategies.
            request: the caller's request; for strategies.

        Returns:
            The member, or None when all are excluded.
        """
        members = self.members
        if not excluded:
            if self._equal:  # no search among the weights of a thousand members
                at = floor(rng.random() * self._count)
                return members[at] if at < len(members) else members[-1]
            if len(members) > 1:
                return self._draw(rng)
            if members:
                return members[0]
        elif len(members) > 1:
            for _ in range(MAX_REDRAWS):
                member = self._draw(rng)
                if member.key not in excluded:
                    return member
        return self._draw_among_rest(rng, excluded)

    def share(self, member: Candidate) -> float | None:
        """The member's share of the choice, 0 to 1; None when weights do not decide."""
        if member not in self.members:
            return 0.0
        return self._weights[self.members.index(member)] / self._total

    def _draw(self, rng: Random) -> Candidate:
        at = bisect_right(self._cumulative, rng.random() * self._total)
        # random() < 1, but its product with the total may round up to the total.
        return self.members[min(at, len(self.members) - 1)]

    def _draw_among_rest(self, rng: Random, excluded: Collection[str]) -> Candidate | None:
        left = [i for i, member in enumerate(self.members) if member.key not in excluded]
        if left:
            return self.members[rng.choices(left, [self._weights[i] for i in left])[0]]
        return next((m for m in self._reserves if m.key not in excluded), None)


class SelectionContext:
    """What a strategy may use beside the candidates.

    Attributes:
        request: the caller's request.
        now: loop time, seconds.
        rng: the router's random number generator.
    """

    __slots__ = ("now", "request", "rng")

    def __init__(self, request: Any, now: float, rng: Random) -> None:
        self.request: Any = request
        self.now: float = now
        self.rng: Random = rng


Choose = Callable[[Sequence["Candidate"], SelectionContext], "Candidate"]
"""Chooses one of the candidates. The sequence is the same object as long as the same candidates
are available, so what depends on them alone can be computed once."""

OnStrategyError = Callable[[Choose, Exception], None]
"""Receives a strategy's function that failed, and its error."""


class Strategy(Protocol):
    """How a tier chooses among its available providers.

    An attribute `description` (str), if there is one, is used in `AttemptRecord.why`; else the
    name of the class is.
    """

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        """Prepares for one tier, and returns the function that chooses for each call.

        Args:
            members: all providers of the tier, in order.
        """
        ...


class StrategyChoice(WeightedChoice):
    """Choice by a strategy instead of by weight; reserves are still chosen last.

    When the strategy raises, or returns something that is no candidate, the choice is made by
    weight and the error is reported; the call goes on.
    """

    __slots__ = ("_candidates", "_choose", "_on_error")

    def __init__(
        self,
        members: Sequence[Candidate],
        now: float,
        why: str,
        choose: Choose,
        on_error: OnStrategyError,
    ) -> None:
        super().__init__(members, now, why)
        self._choose: Callable[..., Any] = choose  # a user's function may return anything
        self._on_error = on_error
        self._candidates = frozenset(self.members)

    def pick(
        self, rng: Random, excluded: Collection[str], now: float, request: Any = None
    ) -> Candidate | None:
        """Returns the strategy's choice among the members that are not excluded."""
        candidates = self.members
        if excluded:
            candidates = tuple(member for member in candidates if member.key not in excluded)
        if len(candidates) > 1:
            try:
                chosen = self._choose(candidates, SelectionContext(request, now, rng))
                known = chosen in self._candidates
                if known and isinstance(chosen, Candidate) and chosen.key not in excluded:
                    return chosen
                error: Exception = LookupError(f"{chosen!r} is not a candidate")
            except Exception as raised:  # noqa: BLE001 - a strategy may fail, a call may not
                error = raised
            self._on_error(self._choose, error)
        elif candidates:
            return candidates[0]
        return super().pick(rng, excluded, now)

    def share(self, member: Candidate) -> float | None:
        """None for members among which the strategy chooses, 0 for the others."""
        return None if member in self.members else 0.0
