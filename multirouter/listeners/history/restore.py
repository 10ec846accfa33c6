"""What a router takes up from earlier runs: open circuits, windows, health, paces, budgets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from multirouter.core.health.degraded import WINDOW
from multirouter.core.registry.accounts import ROUTER
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.errors import UsageError
from multirouter.listeners.history.file import SPENDING_KEPT
from multirouter.model import FailureKind

if TYPE_CHECKING:
    from sqlite3 import Connection

    from multirouter.core.circuit.gate import Gate
    from multirouter.core.cost.budgets import Account
    from multirouter.core.health.degraded import HealthWindow
    from multirouter.core.registry.registry import Registry
    from multirouter.core.routes.resolved_route import ResolvedRoute
    from multirouter.core.selection.candidate import Candidate

PAST = 86_400.0
"""Seconds that paces look back: an answer of yesterday says little about today's provider."""

FULL_PAST = 512
"""Attempts that are read for each provider of a route at most: as many as a pace remembers."""

LITTLE_PAST = 32
"""Attempts that are read however many providers there are: more than a pace needs to be known."""

ALL_PASTS = 50_000
"""Attempts that are read in all, while there are no more than `LITTLE_PAST` for each: a fifth of a
second at the start."""

CHANGES = 50
"""Changes of one circuit that are read."""

_ATTEMPTS = """
    SELECT at, kind, elapsed, first_content, late OR role = 'shadow' FROM attempts
    WHERE router = ? AND provider = ? AND route = ? AND at > ?
    ORDER BY at DESC LIMIT ?
"""
_CHANGES = """
    SELECT at, run, new, reason, open_duration FROM circuits
    WHERE router = ? AND provider = ? ORDER BY at DESC, rowid DESC LIMIT ?
"""
_SPENDING = "SELECT provider, route, cost, at FROM spending WHERE router = ? AND at > ?"


class _Attempt(NamedTuple):
    at: float
    kind: str
    elapsed: float
    first_content: float | None
    uncounted: int  # by the circuit: it came late, or was a copy for comparison


class _End(NamedTuple):
    at: float
    failed: bool
    uncounted: int


class _Change(NamedTuple):
    at: float
    run: str
    new: str
    reason: str
    open_duration: float


@dataclass(slots=True)
class _Place:
    """A provider on a route, as it is asked for whole answers and for streams."""

    route: ResolvedRoute
    gate: Gate
    health: HealthWindow
    calls: Candidate | None = None
    streams: Candidate | None = None


class Recall:
    """Reads one router's past and lets its parts take it up.

    Args:
        connection: the history.
        router: the router's name.
        now: loop time, seconds.
        wall: the wall clock at the same instant, seconds since 1970.
    """

    def __init__(self, connection: Connection, router: str, now: float, wall: float) -> None:
        self._connection = connection
        self._router = router
        self._now = now
        self._wall = wall

    def take_up(self, roster: Registry, accounts: Mapping[str, Account]) -> None:
        """Warms what is there today; the past of who has left is left alone."""
        self._accounts(accounts)
        places = list(_places(roster))
        limit = max(LITTLE_PAST, min(FULL_PAST, ALL_PASTS // max(1, len(places))))
        closed = {gate: self._circuit(gate) for gate in {place.gate for place in places}}
        ended: dict[Gate, list[tuple[float, bool]]] = {gate: [] for gate in closed}
        for place in places:
            attempts = self._attempts(place, limit)
            self._latencies(place, attempts)
            ends = list(_ends(place, attempts, since=closed[place.gate]))
            self._health(place, ends)
            ended[place.gate] += [(at, failed) for at, failed, uncounted in ends if not uncounted]
        for gate, counted in ended.items():
            self._window(gate, sorted(counted))

    def _accounts(self, accounts: Mapping[str, Account]) -> None:
        if not accounts:
            return
        since = self._wall - SPENDING_KEPT
        rows = self._connection.execute(_SPENDING, (self._router, since))
        for provider, route, cost, at in rows:
            for owner in (f"provider {provider}", f"route {route}", ROUTER):
                if owner in accounts:
                    accounts[owner].restore(cost, at)

    # -- one provider -----------------------------------------------------------------------

    def _circuit(self, gate: Gate) -> float:
        """Opens a circuit for what is left of its outage; since when it is closed otherwise."""
        names = (self._router, gate.name, CHANGES)
        changes = [_Change(*row) for row in self._connection.execute(_CHANGES, names)]
        if not changes:
            return 0.0
        last = changes[0]
        if last.new == "closed" or last.reason == "hold_changed":
            return last.at  # what a hand has set ends with its process
        left = 0.0
        if last.new == "open":
            left = max(0.0, last.open_duration - self._age(last.at))
        openings = _openings([c for c in changes if c.run == last.run], gate.circuit.policy.window)
        gate.last_failure = "in an earlier run"
        gate.circuit.restore_open(self._now, last.reason, left, openings)
        return last.at

    def _attempts(self, place: _Place, limit: int) -> list[_Attempt]:
        """The newest attempts, oldest first."""
        since = self._wall - PAST
        names = (self._router, place.gate.name, place.route.name, since, limit)
        rows = self._connection.execute(_ATTEMPTS, names).fetchall()
        return [_Attempt(*row) for row in reversed(rows)]

    def _latencies(self, place: _Place, attempts: Iterable[_Attempt]) -> None:
        for attempt in attempts:
            streamed = attempt.first_content is not None
            member = place.streams if streamed else place.calls
            if member is None or not (streamed or attempt.kind == FailureKind.SUCCESS):
                continue
            seconds = attempt.elapsed if attempt.first_content is None else attempt.first_content
            member.latency.answered(seconds, self._now - self._age(attempt.at))

    def _health(self, place: _Place, ends: Iterable[_End]) -> None:
        health = place.health
        health.shift(self._now - WINDOW)
        for at, failed, _ in ends:
            if self._age(at) < WINDOW:
                (health.failed if failed else health.answered)(self._now - self._age(at))
        health.look(self._now, place.gate.circuit.generation)

    def _window(self, gate: Gate, ends: Iterable[tuple[float, bool]]) -> None:
        """Fills the circuit's window, which begins at loop time 0 like the router itself."""
        window, span = gate.circuit.window, gate.circuit.policy.window
        window.shift(self._now - span)
        for at, failed in ends:
            if self._age(at) < span:
                window.record(self._now - self._age(at), failed=failed)
        window.settle(self._now)

    def _age(self, at: float) -> float:
        """Seconds since then; a wall clock that was set back makes nothing younger than now."""
        return max(0.0, self._wall - at)


def _places(roster: Registry) -> Iterator[_Place]:
    for name in roster.all_routes():
        places: dict[str, _Place] = {}
        for streaming in (False, True):
            with suppress(UsageError):  # none of its providers can
                route = roster.route(name, streaming=streaming)
                for member in route.members:
                    place = places.setdefault(
                        member.name, _Place(route, member.gate, member.health)
                    )
                    if streaming:
                        place.streams = member
                    else:
                        place.calls = member
        yield from places.values()


def _ends(place: _Place, attempts: Iterable[_Attempt], *, since: float) -> Iterator[_End]:
    """The attempts after `since` that say whether the provider is well."""
    for attempt in attempts:
        effect = _effect(place.route, attempt.kind)
        if attempt.at > since and effect in {
            CircuitEffect.SUCCESS,
            CircuitEffect.FAILURE,
            CircuitEffect.TRIP,
        }:
            yield _End(attempt.at, effect is not CircuitEffect.SUCCESS, attempt.uncounted)


def _effect(route: ResolvedRoute, kind: str) -> CircuitEffect:
    if kind == FailureKind.SUCCESS:
        return CircuitEffect.SUCCESS
    with suppress(ValueError):  # a kind that this version does not know
        return route.rules[FailureKind(kind)].circuit
    return CircuitEffect.NEUTRAL


def _openings(changes: Iterable[_Change], window: float) -> int:
    """How many times in a row it had opened; closing for less than a window is no recovery.

    Args:
        changes: newest first, of one process: its peers saw the same outage, and counted it too.
        window: the circuit's, seconds.
    """
    count = 0
    opened_at = float("inf")
    for change in changes:
        if change.new == "open":
            count += 1
            opened_at = change.at
        elif change.new == "closed" and opened_at - change.at >= window:
            break
    return count
