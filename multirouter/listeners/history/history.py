"""Keeps what happened in an SQLite file: each attempt, call, failover and change of a circuit."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from multirouter.core import validation as check
from multirouter.core.events import CircuitChanged, Configured, FailedOver, Listener
from multirouter.core.routes.name_lookup import ADHOC
from multirouter.errors import ConfigurationError, UsageError
from multirouter.listeners.history import file as history_file
from multirouter.listeners.history.restore import Recall
from multirouter.listeners.history.writer import Broken, Dropped, Writer
from multirouter.model import AttemptRecord, CallOutcome

if TYPE_CHECKING:
    from sqlite3 import Connection

    from multirouter.core.cost.budgets import Account
    from multirouter.core.registry.registry import Registry

FirstTier = Callable[[str], frozenset[str]]
"""Gives the providers of a route's first tier."""

KEPT = 90 * 86_400.0
"""Seconds that history is kept unless it is told otherwise."""

WAITING = 20_000
"""Rows that may wait for the disk: some 10 MB, and ten seconds of a thousand calls a second."""

GATHERED = 0.5
"""Seconds that rows gather into one transaction: what a sudden death may cost."""


class History(Listener):
    """One router's history: `MultiProviderRouter(..., history=History("history.db"))`.

    Written is what the records tell: names, verdicts, times, tokens and costs. Prompts, answers
    and messages are not. A disk that fails costs history, never a call. Several processes may
    share a file, each with a History of its own; so may several routers.

    Args:
        path: the file; made when it is not there, in a directory that is.
        keep: seconds that rows are kept, by their own time; `math.inf` for ever.
        waiting: rows that may wait for the disk, at least 1; more are dropped and counted.
        gather: seconds that rows gather into one transaction.
        wall: the wall clock, seconds since 1970.

    Raises:
        ConfigurationError: for a setting that is refused, or a directory that is not there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        keep: float = KEPT,
        waiting: int = WAITING,
        gather: float = GATHERED,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path: Path = _file(path)
        self._keep = check.span("History.keep", keep, endless=True)
        self._waiting = check.count("History.waiting", waiting)
        self._gather = check.span("History.gather", gather)
        self._wall = wall
        self._router = ""
        self._first_tier: FirstTier = _unknown
        self._first_tiers: dict[str, frozenset[str]] = {}
        self._writer: Writer | None = None
        self._put: Callable[[str, tuple[Any, ...]], None] = _of_no_router

    # -- beginning and end ------------------------------------------------------------------

    def serve(self, router: str, first_tier: FirstTier, dropped: Dropped, broken: Broken) -> None:
        """Begins to keep the history of a router, which calls this itself.

        Args:
            router: its name.
            first_tier: tells whom a route asks when all is well.
            dropped: told of rows that were lost, by their number.
            broken: told what failed at the disk, once for each series of failures.

        Raises:
            ConfigurationError: it keeps that of another router already.
        """
        if self._writer is not None:
            raise ConfigurationError(
                "history",
                f"keeps that of the router {self._router!r} already: "
                "make another History, on the same file if you like",
            )
        self._router = router
        self._first_tier = first_tier
        self._writer = writer = Writer(
            self.path,
            limit=self._waiting,
            every=self._gather,
            keep=self._keep,
            dropped=dropped,
            broken=broken,
        )
        self._put = writer.put
        # A router that is let go of without `aclose` loses nothing, and leaves no thread behind.
        weakref.finalize(self, writer.retire).atexit = False

    def recall(
        self, roster: Registry, accounts: Mapping[str, Account], now: float, broken: Broken
    ) -> None:
        """Lets a router that begins take up where earlier runs ended; see `history_recall`.

        Args:
            roster: its providers and routes, fresh.
            accounts: what its owners spend, by owner, fresh too.
            now: loop time, seconds.
            broken: told when the file cannot be read; then the router begins without a past.

        Raises:
            ConfigurationError: the file is none of ours.
        """
        import sqlite3

        if not self.path.exists():
            return
        try:
            connection = self._opened()
            try:
                Recall(connection, self._router, now, self._wall()).take_up(roster, accounts)
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            broken(f"history in {self.path} ({error})", error)

    def flush(self) -> bool:
        """Writes all that waits, now and here; whether the disk took it.

        Raises:
            UsageError: no router has it.
        """
        return self._served_by().flush()

    def close(self) -> None:
        """Writes all that waits and closes the file; what is told later opens it again.

        Raises:
            UsageError: no router has it.
        """
        self._served_by().close()

    # -- what is told -----------------------------------------------------------------------

    @override
    def attempt_ended(self, record: AttemptRecord) -> None:
        verdict, usage = record.verdict, record.usage
        self._put(
            "attempts",
            (
                self._wall(),
                self._router,
                record.route,
                record.provider,
                record.role,
                verdict.kind.value,
                verdict.status,
                record.elapsed,
                record.first_content,
                record.late,
                None if usage is None else usage.input,
                None if usage is None else usage.output,
                None if usage is None else record.cost,
                None if usage is None else usage.estimated,
            ),
        )

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        trail = outcome.attempts
        first = trail[0] if len(trail) == 1 else min(trail, key=_started, default=None)
        cost = _cost(trail)
        above = outcome.failover_cost
        self._put(
            "calls",
            (
                self._wall(),
                self._router,
                outcome.route,
                outcome.result,
                outcome.provider,
                outcome.elapsed,
                _first_content(outcome),
                len(trail),
                _failures(trail),
                outcome.failovers if len(trail) > 1 else 0,
                None if first is None else first.provider,
                None if first is None else first.verdict.kind.value,
                None if first is None else _reply(first),
                first is not None and first.provider not in self._usual(outcome.route, first),
                cost,
                None if cost is None or above is None else cost - above,
            ),
        )

    @override
    def failed_over(self, news: FailedOver) -> None:
        names = (news.router, news.route, news.provider, news.to, news.kind.value)
        self._put("failovers", (self._wall(), *names))

    @override
    def circuit_changed(self, news: CircuitChanged) -> None:
        change = (news.provider, news.old, news.new, news.reason, news.open_duration)
        self._put("circuits", (self._wall(), self._served_by().run, news.router, *change))

    @override
    def configured(self, news: Configured) -> None:
        self._first_tiers.clear()

    # -- inside -----------------------------------------------------------------------------

    def _usual(self, route: str, first: AttemptRecord) -> frozenset[str]:
        """Whom a route asks when all is well; of a route given with the call, whom it asked."""
        known = self._first_tiers.get(route)
        if known is None:
            if route == ADHOC:
                return frozenset((first.provider,))
            known = self._first_tiers[route] = self._first_tier(route)
        return known

    def _served_by(self) -> Writer:
        if self._writer is None:
            raise UsageError(NO_ROUTER)
        return self._writer

    def _opened(self) -> Connection:
        """The file brought up to date, or where that is not allowed, as it is."""
        import sqlite3

        try:
            return history_file.open_to_write(self.path)
        except sqlite3.OperationalError:
            return history_file.open_to_read(self.path)

    def __repr__(self) -> str:
        return f"<History of {self._router or 'no router'} in {self.path}>"


NO_ROUTER = "a History belongs to a router: MultiProviderRouter(..., history=History(...))"


def as_history(given: History | str | os.PathLike[str]) -> History:
    """What was given as `history=`: a path is a History with defaults.

    Raises:
        ConfigurationError: it is neither, or the directory is not there.
    """
    return given if isinstance(given, History) else History(given)


def _file(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise ConfigurationError("history", f"must be a path or a History, not {path!r}")
    file = Path(path).absolute()
    if file.is_dir():
        raise ConfigurationError("history", f"must be a file, and {file} is a directory")
    if not file.parent.is_dir():
        raise ConfigurationError("history", f"there is no directory {file.parent}")
    return file


def _unknown(_route: str) -> frozenset[str]:
    raise UsageError(NO_ROUTER)


def _of_no_router(_table: str, _values: tuple[Any, ...]) -> None:
    raise UsageError(NO_ROUTER)


def _started(record: AttemptRecord) -> float:
    return record.started


def _reply(record: AttemptRecord) -> float:
    """What an attempt took to its answer, or to its first content where that came in pieces."""
    return record.elapsed if record.first_content is None else record.first_content


def _failures(trail: tuple[AttemptRecord, ...]) -> int:
    if len(trail) == 1 and trail[0].ok:
        return 0
    return sum(record.outcome == "failure" for record in trail)


def _cost(trail: tuple[AttemptRecord, ...]) -> float | None:
    """What is known to be spent; None where nobody knows prices."""
    if len(trail) == 1:
        return None if trail[0].usage is None else trail[0].cost
    known = [record.cost for record in trail if record.usage is not None]
    return sum(known) if known else None


def _first_content(outcome: CallOutcome[Any]) -> float | None:
    """Seconds from a call's start to the first content of its stream."""
    for record in outcome.attempts:
        if record.first_content is not None:
            return record.started - outcome.started + record.first_content
    return None
