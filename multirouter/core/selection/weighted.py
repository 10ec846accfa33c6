"""The choice among those who can be asked: by weight, or as a strategy of the route's says."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from random import Random
from typing import Any, Protocol

from multirouter.core.selection.candidate import Candidate

RAMP_START = 0.1
"""The share of its weight that a recovered provider starts with.

Source: Envoy's slow start, `min_weight_percent` 10 %.
"""

REDRAWS = 4
"""Draws that may hit somebody barred before the rest is weighed exactly: both give the same
shares, but a redraw costs the same for three providers and for a thousand."""


def ramp(member: Candidate, now: float) -> float:
    """The share of its weight that a member gets while it recovers; 1 otherwise."""
    span = member.gate.circuit.policy.ramp
    if not span:
        return 1.0
    return min(1.0, max(RAMP_START, member.gate.circuit.closed_for(now) / span))


class WeightedChoice:
    """A draw by weight among members; those of weight 0 are its reserves.

    Attributes:
        members: who is drawn, in the tier's order.
        why: how somebody drawn from it was chosen, in words.
    """

    __slots__ = ("_cumulative", "_reserves", "_total", "_weights", "members", "why")

    def __init__(self, members: Sequence[Candidate], now: float, why: str = "") -> None:
        self.members: tuple[Candidate, ...] = tuple(
            member for member in members if member.weight > 0
        )
        self.why: str = why
        self._reserves = [member for member in members if member.weight == 0]
        self._weights = [member.weight * ramp(member, now) for member in self.members]
        self._cumulative = list(accumulate(self._weights))
        self._total = self._cumulative[-1] if self._cumulative else 0.0

    def pick(
        self, rng: Random, barred: Collection[str], now: float, request: Any = None
    ) -> Candidate | None:
        """One member that is not barred; a weight of 0 only when nobody else is left."""
        drawn = self.members
        if not barred:
            if len(drawn) > 1:  # as in _draw_any; this is the hot path
                at = bisect_right(self._cumulative, rng.random() * self._total)
                return drawn[at] if at < len(drawn) else drawn[-1]
            if drawn:
                return drawn[0]
        elif len(drawn) > 1:
            for _ in range(REDRAWS):
                member = self._draw_any(rng)
                if member.name not in barred:
                    return member
        return self._draw_exactly(rng, barred)

    def share(self, member: Candidate) -> float | None:
        """The member's share of the draw, 0 to 1; None where no weights decide."""
        if member not in self.members:
            return 0.0
        return self._weights[self.members.index(member)] / self._total

    def _draw_any(self, rng: Random) -> Candidate:
        at = bisect_right(self._cumulative, rng.random() * self._total)
        # random() < 1, but its product with the total may round up to the total.
        return self.members[min(at, len(self.members) - 1)]

    def _draw_exactly(self, rng: Random, barred: Collection[str]) -> Candidate | None:
        left = [i for i, member in enumerate(self.members) if member.name not in barred]
        if left:
            return self.members[rng.choices(left, [self._weights[i] for i in left])[0]]
        return next((m for m in self._reserves if m.name not in barred), None)


class SelectionContext:
    """What a strategy may look at beside the candidates.

    Attributes:
        request: what the caller asks.
        now: loop time, seconds.
        rng: the router's chance.
    """

    __slots__ = ("now", "request", "rng")

    def __init__(self, request: Any, now: float, rng: Random) -> None:
        self.request: Any = request
        self.now: float = now
        self.rng: Random = rng


Choose = Callable[[Sequence["Candidate"], SelectionContext], "Candidate"]
"""Chooses one of the candidates. They are the same object as long as the same ones can be asked,
so what depends on them alone can be worked out once."""


class Strategy(Protocol):
    """How a tier chooses among those of its providers that can be asked."""

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        """Gets ready for one tier, and returns what chooses there, call by call.

        Args:
            members: all providers of the tier, in order.
        """
        ...


class StrategyChoice(WeightedChoice):
    """The same with a strategy in the place of weights; reserves and last resorts stay.

    A strategy that raises, or names somebody who is no candidate, costs no call: it is drawn by
    weight then, and the first such error is reported.
    """

    __slots__ = ("_broken", "_choose", "_inside")

    def __init__(
        self,
        members: Sequence[Candidate],
        now: float,
        why: str,
        choose: Choose,
        broken: Callable[[Choose, Exception], None],
    ) -> None:
        super().__init__(members, now, why)
        self._choose = choose
        self._broken = broken
        self._inside = frozenset(self.members)

    def pick(
        self, rng: Random, barred: Collection[str], now: float, request: Any = None
    ) -> Candidate | None:
        """The strategy's choice among those who are not barred."""
        candidates = self.members
        if barred:
            candidates = tuple(member for member in candidates if member.name not in barred)
        if len(candidates) > 1:
            try:
                chosen = self._choose(candidates, SelectionContext(request, now, rng))
                if chosen in self._inside and chosen.name not in barred:
                    return chosen
                error: Exception = LookupError(f"{chosen!r} is no candidate")
            except Exception as raised:  # noqa: BLE001 - a strategy may break, a call may not
                error = raised
            self._broken(self._choose, error)
        elif candidates:
            return candidates[0]
        return super().pick(rng, barred, now)

    def share(self, member: Candidate) -> float | None:
        """None for those among whom the strategy chooses, 0 for the others."""
        return None if member in self.members else 0.0
