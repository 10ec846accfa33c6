"""Reads a report out of a history file, in one pass over its rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from multirouter.report.counting import Attempt, AttemptCount, Call, CallCount
from multirouter.report.model import Head, Moves, ProviderFigures, Report, RouteFigures, Slot
from multirouter.report.open_circuits import Change, openings_in, trips_in

if TYPE_CHECKING:
    from sqlite3 import Connection

SLOTS = 60
"""Pieces of a time line at most: bars that a phone can still show."""

_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
STEPS = (
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 7, 14, 28, 91)),
)
"""Lengths a piece may have, seconds."""

Name = Callable[[str, str], str]


def read(
    connection: Connection, since: float, until: float, *, router: str | None = None
) -> Report:
    """The report of one span.

    Args:
        connection: the history, see `history_file.open_to_read`.
        since: begin of the span, seconds since 1970.
        until: its end, which does not belong to it.
        router: the router to speak of; None for all in the file, their names before others'.
    """
    reader = _Reader(connection, router)
    name = reader.name
    calls = reader.calls(since, until)
    whole, routes, slots, step = _count_calls(calls, reader.first_call(since, until), until, name)
    changes = reader.changes(until)
    whole.trips = trips_in(changes, since, until)
    return Report(
        since=since,
        until=until,
        head=whole.head(),
        before=_before(reader, changes, since - (until - since), since),
        routes=routes,
        providers=_count_attempts(reader.attempts(since, until), name),
        moves=_count_moves(reader.failovers(since, until), name),
        openings=openings_in(changes, since, until, name),
        slot_seconds=step,
        slots=slots,
    )


class _Reader:
    """The rows of one router, or of all."""

    def __init__(self, connection: Connection, router: str | None) -> None:
        self._connection = connection
        self._only = "" if router is None else " AND router = ?"
        self._names = () if router is None else (router,)
        found = connection.execute("SELECT DISTINCT router FROM calls").fetchall()
        self._several = router is None and len(found) > 1

    def name(self, router: str, what: str) -> str:
        """What a route or provider is called here."""
        return f"{router}/{what}" if self._several else what

    def calls(self, since: float, until: float) -> Iterator[Call]:
        return map(Call._make, self._rows("calls", Call._fields, since, until))

    def first_call(self, since: float, until: float) -> float:
        """When the first call of the span ended; its begin when there is none."""
        found = next(self._rows("calls", ("min(at)",), since, until))[0]
        return since if found is None else float(found)

    def attempts(self, since: float, until: float) -> Iterator[Attempt]:
        rows = self._rows("attempts", Attempt._fields, since, until, " AND role != 'shadow'")
        return map(Attempt._make, rows)

    def changes(self, until: float) -> list[Change]:
        """All changes of circuits up to then: what opened before the span is open in it."""
        rows = self._rows("circuits", Change._fields, 0.0, until, " ORDER BY at, rowid")
        return list(map(Change._make, rows))

    def failovers(self, since: float, until: float) -> Iterator[tuple[str, str, str, str, int]]:
        columns = ("router", "provider", "moved_to", "kind", "count(*)")
        return self._rows("failovers", columns, since, until, " GROUP BY 1, 2, 3, 4")

    def _rows(
        self, table: str, columns: Iterable[str], since: float, until: float, more: str = ""
    ) -> Iterator[Any]:
        where = f"at >= ? AND at < ?{self._only}{more}"
        query = f"SELECT {', '.join(columns)} FROM {table} WHERE {where}"  # noqa: S608 - constants
        return self._connection.execute(query, (since, until, *self._names))


def _count_calls(
    calls: Iterable[Call], first: float, until: float, name: Name
) -> tuple[CallCount, list[RouteFigures], list[Slot], float]:
    whole = CallCount()
    routes: defaultdict[str, CallCount] = defaultdict(CallCount)
    step = step_for(until - first)
    begin = first - first % step
    slots = [CallCount() for _ in range(int((until - begin) / step) + 1)]
    for call in calls:
        whole.add(call)
        routes[name(call.router, call.route)].add(call)
        slots[int((call.at - begin) / step)].add(call)
    heads = [RouteFigures(route, count.head()) for route, count in routes.items()]
    heads.sort(key=lambda route: (-route.head.calls, route.route))
    return whole, heads, [s.slot(begin + n * step) for n, s in enumerate(slots)], step


def step_for(span: float) -> float:
    """The shortest of `STEPS` that cuts a span into at most `SLOTS` pieces."""
    return next((step for step in STEPS if span / step < SLOTS - 1), STEPS[-1])


def _before(reader: _Reader, changes: list[Change], since: float, until: float) -> Head | None:
    count = CallCount()
    for call in reader.calls(since, until):
        count.add(call)
    count.trips = trips_in(changes, since, until)
    head = count.head()
    return head if head.calls else None


def _count_attempts(attempts: Iterable[Attempt], name: Name) -> list[ProviderFigures]:
    counts: defaultdict[str, AttemptCount] = defaultdict(AttemptCount)
    for attempt in attempts:
        counts[name(attempt.router, attempt.provider)].add(attempt)
    answers = sum(count.answers for count in counts.values())
    found = [count.figures(provider, answers) for provider, count in counts.items()]
    return sorted(found, key=lambda figures: (-figures.answers, figures.provider))


def _count_moves(rows: Iterable[tuple[str, str, str, str, int]], name: Name) -> list[Moves]:
    moves: Counter[tuple[str, str, str]] = Counter()
    for router, provider, moved_to, kind, count in rows:
        moves[name(router, provider), name(router, moved_to), kind] += count
    return [Moves(*move, count) for move, count in moves.most_common()]
