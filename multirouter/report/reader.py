"""Reads a report from a history file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from multirouter.core.settings.operation import OWN_FUNCTIONS
from multirouter.model import REQUEST_KINDS
from multirouter.report.aggregation import Attempt, AttemptAggregate, Call, CallAggregate
from multirouter.report.model import (
    FailoverCount,
    Interval,
    KeyStats,
    ModelStats,
    OperationStats,
    ProviderStats,
    Report,
    RouteAnswers,
    RouteStats,
    Summary,
)
from multirouter.report.open_circuits import CircuitChange, count_trips, find_open_periods

if TYPE_CHECKING:
    from sqlite3 import Connection

MAX_INTERVALS = 60
"""Maximum intervals of a timeline: a phone can still show as many bars."""

_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
STEPS = (
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 7, 14, 28, 91)),
)
"""Possible lengths of an interval, seconds."""

MAX_NAMES = 100
"""Models, and client keys, with figures of their own; requests bring their names."""

OTHER = "other"
"""Name of all further models or keys."""

_OF_THE_REQUEST = ", ".join(f"'{kind}'" for kind in sorted({*REQUEST_KINDS, "not_found"}))
"""Kinds of failure that do not show that a model exists: a client may have made up its name."""

DisplayName = Callable[[str, str], str]


def read_report(
    connection: Connection, since: float, until: float, *, router: str | None = None
) -> Report:
    """Reads the report of one period.

    Args:
        connection: the history, see `listeners.history.file.open_to_read`.
        since: start of the period, seconds since 1970, inclusive.
        until: end of the period, seconds since 1970, exclusive.
        router: name of the router to report; None reports all routers in the file, with their
            names before those of routes and providers if there are several.
    """
    rows = _Rows(connection, router)
    name = rows.display_name
    calls = rows.calls(since, until)
    read = _read_calls(calls, rows.first_call(since, until), until, name)
    total, routes, answers, timeline, step = read
    shown = rows.models(since, until)
    providers, models = _read_attempts(rows.attempts(since, until), shown, name)
    changes = rows.circuit_changes(until)
    total.trips = count_trips(changes, since, until)
    return Report(
        since=since,
        until=until,
        summary=total.summary(),
        previous=_previous(rows, changes, since - (until - since), since),
        routes=routes,
        providers=providers,
        answers=answers,
        models=models,
        keys=_read_keys(rows.calls(since, until), rows.keys(since, until), name),
        operations=_read_operations(rows.calls(since, until), rows.operations(since, until)),
        failovers=_read_failovers(rows.failovers(since, until), name),
        open_periods=find_open_periods(changes, since, until, name),
        interval_seconds=step,
        timeline=timeline,
    )


def router_names(connection: Connection) -> list[str]:
    """Returns the names of the routers in a history, sorted."""
    rows = connection.execute("SELECT DISTINCT router FROM calls ORDER BY router").fetchall()
    return [name for (name,) in rows]


class _Rows:
    """The rows of one router, or of all routers."""

    def __init__(self, connection: Connection, router: str | None) -> None:
        self._connection = connection
        self._condition = "" if router is None else " AND router = ?"
        self._parameters = () if router is None else (router,)
        self._several_routers = router is None and len(router_names(connection)) > 1

    def display_name(self, router: str, name: str) -> str:
        """Name of a route or provider in the report."""
        return f"{router}/{name}" if self._several_routers else name

    def calls(self, since: float, until: float) -> Iterator[Call]:
        return map(Call._make, self._select("calls", Call._fields, since, until))

    def first_call(self, since: float, until: float) -> float:
        """When the first call of the period ended; `since` without calls."""
        first = next(self._select("calls", ("min(at)",), since, until))[0]
        return since if first is None else float(first)

    def attempts(self, since: float, until: float) -> Iterator[Attempt]:
        rows = self._select("attempts", Attempt._fields, since, until, " AND role != 'shadow'")
        return map(Attempt._make, rows)

    def models(self, since: float, until: float) -> set[tuple[str, str, str]]:
        """Routers, providers and models: the most used ones of those that exist."""
        more = (
            " AND role != 'shadow' AND model IS NOT NULL GROUP BY 1, 2, 3 "
            f"HAVING sum(kind NOT IN ({_OF_THE_REQUEST})) > 0 "
            f"ORDER BY count(*) DESC LIMIT {MAX_NAMES}"
        )
        return set(self._select("attempts", ("router", "provider", "model"), since, until, more))

    def keys(self, since: float, until: float) -> set[tuple[str, str]]:
        """Routers and client keys: those with the most calls."""
        more = f" AND client_key IS NOT NULL GROUP BY 1, 2 ORDER BY count(*) DESC LIMIT {MAX_NAMES}"
        return set(self._select("calls", ("router", "client_key"), since, until, more))

    def operations(self, since: float, until: float) -> set[str]:
        """Operations of the calls."""
        found = self._select("calls", ("DISTINCT operation",), since, until)
        return {operation or OWN_FUNCTIONS for (operation,) in found}

    def circuit_changes(self, until: float) -> list[CircuitChange]:
        """All changes before `until`: a circuit may have opened before the period."""
        fields = CircuitChange._fields
        rows = self._select("circuits", fields, 0.0, until, " ORDER BY at, rowid")
        return list(map(CircuitChange._make, rows))

    def failovers(self, since: float, until: float) -> Iterator[tuple[str, str, str, str, int]]:
        columns = ("router", "provider", "to_provider", "kind", "count(*)")
        return self._select("failovers", columns, since, until, " GROUP BY 1, 2, 3, 4")

    def _select(
        self, table: str, columns: Iterable[str], since: float, until: float, more: str = ""
    ) -> Iterator[Any]:
        where = f"at >= ? AND at < ?{self._condition}{more}"
        query = f"SELECT {', '.join(columns)} FROM {table} WHERE {where}"  # noqa: S608 - constants
        return self._connection.execute(query, (since, until, *self._parameters))


def _read_calls(
    calls: Iterable[Call], first: float, until: float, display_name: DisplayName
) -> tuple[CallAggregate, list[RouteStats], list[RouteAnswers], list[Interval], float]:
    """Returns the total, the routes, their answers, the timeline, and its intervals' length."""
    total = CallAggregate()
    by_route: defaultdict[str, CallAggregate] = defaultdict(CallAggregate)
    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    diverted: Counter[tuple[str, str]] = Counter()
    step = interval_length(until - first)
    start = first - first % step
    intervals = [CallAggregate() for _ in range(int((until - start) / step) + 1)]
    for call in calls:
        total.add(call)
        route = display_name(call.router, call.route)
        by_route[route].add(call)
        if call.result == "success" and call.provider is not None:
            answers[route][display_name(call.router, call.provider)] += 1
            diverted[route, display_name(call.router, call.provider)] += call.diverted
        intervals[int((call.at - start) / step)].add(call)
    routes = [RouteStats(route, calls_of.summary()) for route, calls_of in by_route.items()]
    routes.sort(key=lambda stats: (-stats.summary.calls, stats.route))
    timeline = [calls_in.interval(start + n * step) for n, calls_in in enumerate(intervals)]
    found = [
        RouteAnswers(stats.route, name, count, count / by.total(), diverted[stats.route, name])
        for stats in routes
        if (by := answers.get(stats.route)) is not None
        for name, count in by.most_common()
    ]
    return total, routes, found, timeline, step


def interval_length(period: float) -> float:
    """The shortest of `STEPS` that divides `period` seconds into at most `MAX_INTERVALS`."""
    return next((step for step in STEPS if period / step < MAX_INTERVALS - 1), STEPS[-1])


def _previous(
    rows: _Rows, changes: list[CircuitChange], since: float, until: float
) -> Summary | None:
    total = CallAggregate()
    for call in rows.calls(since, until):
        total.add(call)
    total.trips = count_trips(changes, since, until)
    summary = total.summary()
    return summary if summary.calls else None


def _read_keys(
    calls: Iterable[Call], shown: set[tuple[str, str]], display_name: DisplayName
) -> list[KeyStats]:
    """Returns the figures of the keys; those of calls without a key only beside others."""
    if not shown:
        return []
    by_key: defaultdict[str | None, CallAggregate] = defaultdict(CallAggregate)
    for call in calls:
        key = call.client_key
        if key is not None:
            key = display_name(call.router, key if (call.router, key) in shown else OTHER)
        by_key[key].add(call)
    found = [calls_of.key_stats(key) for key, calls_of in by_key.items()]
    return sorted(found, key=lambda stats: (-stats.summary.calls, stats.key or ""))


def _read_operations(calls: Iterable[Call], operations: set[str]) -> list[OperationStats]:
    """Returns the figures of the operations, when there are others than chats."""
    if operations <= {OWN_FUNCTIONS}:
        return []
    by_operation: defaultdict[str, CallAggregate] = defaultdict(CallAggregate)
    for call in calls:
        by_operation[call.operation or OWN_FUNCTIONS].add(call)
    found = [calls_of.operation_stats(name) for name, calls_of in by_operation.items()]
    return sorted(found, key=lambda stats: (-stats.summary.calls, stats.operation))


def _read_attempts(
    attempts: Iterable[Attempt], shown: set[tuple[str, str, str]], display_name: DisplayName
) -> tuple[list[ProviderStats], list[ModelStats]]:
    """Returns the figures of the providers, and of their models."""
    by_provider: defaultdict[str, AttemptAggregate] = defaultdict(AttemptAggregate)
    by_model: defaultdict[tuple[str, str], AttemptAggregate] = defaultdict(AttemptAggregate)
    for attempt in attempts:
        name = display_name(attempt.router, attempt.provider)
        by_provider[name].add(attempt)
        model = attempt.model
        if model is not None:
            known = (attempt.router, attempt.provider, model) in shown
            by_model[name, model if known else OTHER].add(attempt)
    answers = sum(aggregate.answers for aggregate in by_provider.values())
    found = [aggregate.stats(provider, answers) for provider, aggregate in by_provider.items()]
    models = [aggregate.model_stats(*key) for key, aggregate in by_model.items()]
    return (
        sorted(found, key=lambda stats: (-stats.answers, stats.provider)),
        sorted(models, key=lambda stats: (-stats.answers, stats.provider, stats.model)),
    )


def _read_failovers(
    rows: Iterable[tuple[str, str, str, str, int]], display_name: DisplayName
) -> list[FailoverCount]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for router, provider, to_provider, kind, count in rows:
        key = (display_name(router, provider), display_name(router, to_provider), kind)
        counts[key] += count
    return [FailoverCount(*key, count) for key, count in counts.most_common()]
