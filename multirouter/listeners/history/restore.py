"""Restores a router's state from its history: circuits, windows, health, latencies, budgets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from multirouter.core.failures.own_process import circuit_effect
from multirouter.core.registry.accounts import ROUTER
from multirouter.core.settings.failure_rules import CircuitEffect
from multirouter.errors import UsageError
from multirouter.listeners.history.file import SPENDING_RETENTION
from multirouter.model import FailureKind, Verdict

if TYPE_CHECKING:
    from sqlite3 import Connection

    from multirouter.core.circuit.gate import Gate
    from multirouter.core.cost.account import Account
    from multirouter.core.health.degraded import HealthWindow
    from multirouter.core.registry.registry import Registry
    from multirouter.core.routes.resolved_route import ResolvedRoute
    from multirouter.core.selection.candidate import Candidate

MAX_AGE = 86_400.0
"""Attempts older than this are not read, seconds: yesterday's latency says little about today."""

MAX_ATTEMPTS = 512
"""Maximum attempts read per provider of a route: as many as a latency tracker keeps."""

MIN_ATTEMPTS = 32
"""Attempts read per provider of a route whatever the number of providers: more than a latency
tracker needs."""

MAX_TOTAL_ATTEMPTS = 50_000
"""Maximum attempts read in all, unless `MIN_ATTEMPTS` each are more: about 0.2 s at startup."""

MAX_CHANGES = 50
"""Maximum state changes read per circuit."""

_ATTEMPTS = """
    SELECT at, kind, elapsed, first_content, late OR role = 'shadow', status, stalled
    FROM attempts
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
    uncounted: int  # by the circuit: a late attempt or a shadow copy
    status: int | None
    stalled: int


class _Result(NamedTuple):
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
class _RouteProvider:
    """One provider on one route, with its candidates for calls and for streams."""

    route: ResolvedRoute
    gate: Gate
    health: HealthWindow
    calls: Candidate | None = None
    streams: Candidate | None = None


class StateRestorer:
    """Reads one router's history and restores the state of its parts.

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

    def restore(self, registry: Registry, accounts: Mapping[str, Account]) -> None:
        """Restores circuits, health, latencies and accounts of the current providers and routes."""
        self._restore_accounts(accounts)
        entries = list(_entries(registry))
        limit = max(MIN_ATTEMPTS, min(MAX_ATTEMPTS, MAX_TOTAL_ATTEMPTS // max(1, len(entries))))
        closed = {gate: self._restore_circuit(gate) for gate in {entry.gate for entry in entries}}
        ended: dict[Gate, list[tuple[float, bool]]] = {gate: [] for gate in closed}
        for entry in entries:
            attempts = self._read_attempts(entry, limit)
            self._restore_latencies(entry, attempts)
            results = list(_results(entry, attempts, since=closed[entry.gate]))
            self._restore_health(entry, results)
            ended[entry.gate] += [
                (at, failed) for at, failed, uncounted in results if not uncounted
            ]
        for gate, counted in ended.items():
            self._restore_window(gate, sorted(counted))

    def _restore_accounts(self, accounts: Mapping[str, Account]) -> None:
        if not accounts:
            return
        since = self._wall - SPENDING_RETENTION
        rows = self._connection.execute(_SPENDING, (self._router, since))
        for provider, route, cost, at in rows:
            for owner in (f"provider {provider}", f"route {route}", ROUTER):
                if owner in accounts:
                    accounts[owner].restore(cost, at)

    def _restore_circuit(self, gate: Gate) -> float:
        """Restores a circuit that was open or half-open, with its remaining open duration.

        Returns:
            Wall clock of its last state change, seconds since 1970, before which attempts do not
            count; 0 if there is none.
        """
        names = (self._router, gate.name, MAX_CHANGES)
        changes = [_Change(*row) for row in self._connection.execute(_CHANGES, names)]
        if not changes:
            return 0.0
        last = changes[0]
        if last.new == "closed" or last.reason == "held":
            return last.at  # a hold ends with its process
        remaining = 0.0
        if last.new == "open":
            remaining = max(0.0, last.open_duration - self._age(last.at))
        openings = _consecutive_openings(
            [c for c in changes if c.run == last.run], gate.circuit.policy.window
        )
        gate.last_failure = "in an earlier run"
        gate.circuit.restore_open(self._now, last.reason, remaining, openings)
        return last.at

    def _read_attempts(self, entry: _RouteProvider, limit: int) -> list[_Attempt]:
        """The newest attempts, oldest first."""
        since = self._wall - MAX_AGE
        names = (self._router, entry.gate.name, entry.route.name, since, limit)
        rows = self._connection.execute(_ATTEMPTS, names).fetchall()
        return [_Attempt(*row) for row in reversed(rows)]

    def _restore_latencies(self, entry: _RouteProvider, attempts: Iterable[_Attempt]) -> None:
        for attempt in attempts:
            streamed = attempt.first_content is not None
            member = entry.streams if streamed else entry.calls
            answered = streamed or attempt.kind == FailureKind.SUCCESS
            if member is None or not answered or attempt.stalled:
                continue
            seconds = attempt.elapsed if attempt.first_content is None else attempt.first_content
            member.latency.record(seconds, self._now - self._age(attempt.at))

    def _restore_health(self, entry: _RouteProvider, results: Iterable[_Result]) -> None:
        health = entry.health
        window = health.policy.window
        health.shift(self._now - window)
        for at, failed, _ in results:
            if self._age(at) < window:
                (health.record_failure if failed else health.record_success)(
                    self._now - self._age(at)
                )
        health.refresh(self._now, entry.gate.circuit.generation)

    def _restore_window(self, gate: Gate, results: Iterable[tuple[float, bool]]) -> None:
        """Fills the circuit's window, which starts at loop time 0 like the router itself."""
        window, span = gate.circuit.window, gate.circuit.policy.window
        window.shift(self._now - span)
        for at, failed in results:
            if self._age(at) < span:
                window.record(self._now - self._age(at), failed=failed)
        window.settle(self._now)

    def _age(self, at: float) -> float:
        """Seconds since `at`, at least 0 even if the wall clock was set back."""
        return max(0.0, self._wall - at)


def _entries(registry: Registry) -> Iterator[_RouteProvider]:
    for name in registry.all_routes():
        entries: dict[str, _RouteProvider] = {}
        for streaming in (False, True):
            with suppress(UsageError):  # no provider of the route supports this
                route = registry.route(name, streaming=streaming)
                for member in route.members:
                    entry = entries.setdefault(
                        member.name, _RouteProvider(route, member.gate, member.health)
                    )
                    if streaming:
                        entry.streams = member
                    else:
                        entry.calls = member
        yield from entries.values()


def _results(
    entry: _RouteProvider, attempts: Iterable[_Attempt], *, since: float
) -> Iterator[_Result]:
    """Results of the attempts after `since` that count as success or failure of the provider."""
    for attempt in attempts:
        effect = _effect(entry.route, attempt)
        if attempt.at > since and effect in {
            CircuitEffect.SUCCESS,
            CircuitEffect.FAILURE,
            CircuitEffect.TRIP,
        }:
            yield _Result(attempt.at, effect is not CircuitEffect.SUCCESS, attempt.uncounted)


def _effect(route: ResolvedRoute, attempt: _Attempt) -> CircuitEffect:
    if attempt.kind == FailureKind.SUCCESS:
        return CircuitEffect.SUCCESS
    with suppress(ValueError):  # a kind written by another version
        verdict = Verdict(FailureKind(attempt.kind), status=attempt.status)
        return circuit_effect(route.rules, verdict, stalled=bool(attempt.stalled))
    return CircuitEffect.NEUTRAL


def _consecutive_openings(changes: Iterable[_Change], window: float) -> int:
    """Number of consecutive openings; being closed for less than a window does not end them.

    Args:
        changes: newest first, of one process only: other processes recorded the same outage.
        window: length of the circuit's window, seconds.
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
