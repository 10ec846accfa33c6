"""Who: the weighted draw among the providers of a tier that can be asked now."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate
from random import Random
from typing import Any

from multirouter.core.gate import Gate, Revision
from multirouter.core.pace import Pace
from multirouter.core.provider import Provider

RAMP_START = 0.1
"""The share of its weight that a recovered provider starts with.

Source: Envoy's slow start, `min_weight_percent` 10 %.
"""

RAMP_STEPS = 10
"""Steps in which a ramp grows: each costs one rebuilding of the draw table."""

REDRAWS = 4
"""Draws that may hit somebody barred before the rest is weighed exactly: both give the same
shares, but a redraw costs the same for three providers and for a thousand."""


class Member:
    """A provider at its place in a route: whom to call, at which door, with which weight.

    Attributes:
        name: the provider's name.
        provider: the provider as this configuration knows it.
        call: its coroutine function; None for one that can only stream.
        stream: its async generator function; None for one that can only call.
        gate: its door, shared with the other routes and with later configurations.
        weight: its weight on this route, at least 0.
        pace: its latencies on this route.
        timeout: what one attempt may take at the most, seconds; of a stream, up to its first
            content.
        idle: what a stream may rest between two chunks, seconds.
    """

    __slots__ = ("call", "gate", "idle", "name", "pace", "provider", "stream", "timeout", "weight")

    def __init__(
        self,
        provider: Provider[Any, Any, Any],
        gate: Gate,
        pace: Pace,
        *,
        weight: float,
        timeout: float,
        idle: float = math.inf,
    ) -> None:
        self.name = provider.name
        self.provider = provider
        self.call: Any = provider.call
        self.stream: Any = provider.stream
        self.gate = gate
        self.pace = pace
        self.weight = weight
        self.timeout = timeout
        self.idle = idle

    def __repr__(self) -> str:
        return f"<Member {self.name} weight={self.weight:g} {self.gate!r}>"


class Table:
    """Who takes part in the draw, as of one revision of the gates.

    Attributes:
        revision: the revision it was made at.
        valid_until: loop time at which time alone makes it stale.
        drawn: members that are drawn by weight, in the tier's order.
        trials: members whose circuit is half-open.
        why: how somebody drawn from it was chosen, in words.
        panicked: whether circuits were ignored because too few are closed.
    """

    __slots__ = (
        "_cumulative",
        "_reserves",
        "_total",
        "_weights",
        "drawn",
        "panicked",
        "revision",
        "trials",
        "valid_until",
        "why",
    )

    def __init__(
        self, members: Sequence[Member], revision: int, now: float, panic: float | None
    ) -> None:
        closed = [member for member in members if member.gate.closed(now)]
        self.panicked = panic is not None and len(closed) < panic * len(members)
        if self.panicked:
            closed = [member for member in members if member.gate.hold != "open"]
        self.revision = revision
        self.drawn = [member for member in closed if member.weight > 0]
        self.trials = [] if self.panicked else [m for m in members if m.gate.on_trial(now)]
        self._reserves = [member for member in closed if member.weight == 0]
        self._weights = [member.weight * _ramp(member, now) for member in self.drawn]
        self._cumulative = list(accumulate(self._weights))
        self._total = self._cumulative[-1] if self._cumulative else 0.0
        self.valid_until = min((_changes_at(member, now) for member in members), default=math.inf)
        inside = set(closed)
        self.why = self._explain([m for m in members if m not in inside], now)

    def _explain(self, out: Sequence[Member], now: float) -> str:
        how = "panic: drawn" if self.panicked else "drawn"
        among = f"{how} by weight among {len(self.drawn)}" if len(self.drawn) > 1 else "only one"
        if not out:
            return among
        states = ", ".join(f"{m.name} {m.gate.refuses(now) or 'on trial'}" for m in out)
        return f"{among}; passed over: {states}"

    def draw(self, rng: Random, barred: Collection[str]) -> Member | None:
        """One member by weight that is not barred; a weight of 0 only when nobody else is left."""
        drawn = self.drawn
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

    def share(self, member: Member) -> float:
        """The member's share of the draw, 0 to 1."""
        if member not in self.drawn:
            return 0.0
        return self._weights[self.drawn.index(member)] / self._total

    def _draw_any(self, rng: Random) -> Member:
        at = bisect_right(self._cumulative, rng.random() * self._total)
        # random() < 1, but its product with the total may round up to the total.
        return self.drawn[min(at, len(self.drawn) - 1)]

    def _draw_exactly(self, rng: Random, barred: Collection[str]) -> Member | None:
        left = [i for i, member in enumerate(self.drawn) if member.name not in barred]
        if left:
            return self.drawn[rng.choices(left, [self._weights[i] for i in left])[0]]
        return next((m for m in self._reserves if m.name not in barred), None)


def _ramp(member: Member, now: float) -> float:
    """The share of its weight that a member gets while it recovers; 1 otherwise."""
    span = member.gate.circuit.policy.ramp
    if not span:
        return 1.0
    return min(1.0, max(RAMP_START, member.gate.circuit.closed_for(now) / span))


def _changes_at(member: Member, now: float) -> float:
    at = member.gate.changes_at(now)
    ramp = member.gate.circuit.policy.ramp
    if ramp and member.gate.circuit.closed_for(now) < ramp:
        at = min(at, now + ramp / RAMP_STEPS)
    return at


class Tier:
    """Providers that stand for each other; the draw table is rebuilt when a door changes."""

    __slots__ = ("_panic", "_revision", "_table", "members")

    def __init__(
        self, members: Sequence[Member], revision: Revision, panic: float | None = None
    ) -> None:
        self.members = tuple(members)
        self._revision = revision
        self._panic = panic
        self._table: Table | None = None

    def table(self, now: float) -> Table:
        """The draw table that is right at `now`."""
        table = self._table
        if table is None or table.revision != self._revision.value or now >= table.valid_until:
            table = self._table = Table(self.members, self._revision.value, now, self._panic)
        return table
