"""Listener that records attempts, calls, failovers and circuit changes in an SQLite file."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from multirouter.core import validation as check
from multirouter.core.events import CircuitChanged, FailedOver
from multirouter.core.listener import Listener
from multirouter.core.settings.operation import OWN_FUNCTIONS
from multirouter.errors import ConfigurationError, UsageError
from multirouter.listeners.history import file as history_file
from multirouter.listeners.history.restore import StateRestorer
from multirouter.listeners.history.writer import OnDropped, OnError, Writer
from multirouter.model import AttemptRecord, CallOutcome

if TYPE_CHECKING:
    from sqlite3 import Connection

    from multirouter.core.cost.account import Account
    from multirouter.core.registry.registry import Registry

RETENTION = 90 * 86_400.0
"""Default retention of rows, seconds."""

MAX_QUEUED_ROWS = 20_000
"""Default queue limit: about 10 MB, or ten seconds at a thousand calls per second."""

BATCH_INTERVAL = 0.5
"""Default seconds between two transactions: what a killed process may lose."""


class History(Listener):
    """History of one router: `MultiProviderRouter(..., history=History("history.db"))`.

    Rows contain names, verdicts, times, tokens and costs; never prompts, answers or error messages.
    A disk error loses history rows, but never fails or delays a call. Several processes, and
    several routers, may share a file, each with a History of its own.

    Args:
        path: the file; created if missing. Its directory must exist.
        retention: seconds after which rows are deleted, > 0; `math.inf` keeps them for ever.
        max_queued_rows: rows that may wait to be written, at least 1; further rows are dropped and
            counted.
        batch_interval: seconds that rows are collected into one transaction, > 0.
        wall: wall clock, seconds since 1970.

    Raises:
        ConfigurationError: an invalid setting, or a directory that does not exist.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        retention: float = RETENTION,
        max_queued_rows: int = MAX_QUEUED_ROWS,
        batch_interval: float = BATCH_INTERVAL,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path: Path = _file(path)
        self._retention = check.duration("History.retention", retention, allow_inf=True)
        self._max_queued_rows = check.count("History.max_queued_rows", max_queued_rows)
        self._batch_interval = check.duration("History.batch_interval", batch_interval)
        self._wall = wall
        self._router = ""
        self._writer: Writer | None = None
        self._put: Callable[[str, tuple[Any, ...]], None] = _no_writer

    def attach(self, router: str, on_dropped: OnDropped, on_error: OnError) -> None:
        """Starts recording for a router; called by the router itself.

        Args:
            router: the router's name.
            on_dropped: called with the number of rows dropped.
            on_error: called with a description and the exception, for the first of consecutive
                write failures.

        Raises:
            ConfigurationError: this History belongs to another router.
        """
        if self._writer is not None:
            raise ConfigurationError(
                "history",
                f"already belongs to the router {self._router!r}; "
                "create another History, which may use the same file",
            )
        self._router = router
        self._writer = writer = Writer(
            self.path,
            max_queued=self._max_queued_rows,
            interval=self._batch_interval,
            retention=self._retention,
            on_dropped=on_dropped,
            on_error=on_error,
        )
        self._put = writer.put
        # A router that is dropped without `aclose` loses no rows and leaves no thread running.
        weakref.finalize(self, writer.stop).atexit = False

    def restore(
        self, registry: Registry, accounts: Mapping[str, Account], now: float, on_error: OnError
    ) -> None:
        """Restores the state of a new router from earlier runs; see `StateRestorer`.

        Args:
            registry: the router's providers and routes, in their initial state.
            accounts: the spending accounts by owner, in their initial state.
            now: loop time, seconds.
            on_error: called if the file cannot be read; the router then starts without a history.

        Raises:
            ConfigurationError: the file is not a history.
        """
        import sqlite3

        if not self.path.exists():
            return
        try:
            connection = self._open()
            try:
                restorer = StateRestorer(connection, self._router, now, self._wall())
                restorer.restore(registry, accounts)
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            on_error(f"history in {self.path} ({error})", error)

    def flush(self) -> bool:
        """Writes all queued rows in the caller's thread; returns whether that succeeded.

        Raises:
            UsageError: this History belongs to no router.
        """
        return self._attached_writer().flush()

    def close(self) -> None:
        """Writes all queued rows and closes the file; a later row opens it again.

        Raises:
            UsageError: this History belongs to no router.
        """
        self._attached_writer().close()

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
                record.cost if record.priced else None,
                None if usage is None else usage.estimated,
                record.stalled,
                record.model,
                record.operation or OWN_FUNCTIONS,
            ),
        )

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        trail = outcome.attempts
        first = trail[0] if len(trail) == 1 else min(trail, key=_started, default=None)
        cost = _cost(trail)
        failover_cost = outcome.failover_cost
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
                None if first is None else _time_to_answer(first),
                first is not None and first.provider not in outcome.first_choice,
                cost,
                None if cost is None or failover_cost is None else cost - failover_cost,
                outcome.client_key or None,
                *_tokens(trail),
                outcome.operation or OWN_FUNCTIONS,
            ),
        )

    @override
    def failed_over(self, event: FailedOver) -> None:
        names = (event.router, event.route, event.provider, event.to, event.kind.value)
        self._put("failovers", (self._wall(), *names))

    @override
    def circuit_changed(self, event: CircuitChanged) -> None:
        change = (event.provider, event.old, event.new, event.reason, event.open_duration)
        self._put("circuits", (self._wall(), self._attached_writer().run, event.router, *change))

    def _attached_writer(self) -> Writer:
        if self._writer is None:
            raise UsageError(NO_ROUTER)
        return self._writer

    def _open(self) -> Connection:
        """Opens the file, migrated if needed; read-only if it cannot be written."""
        import sqlite3

        try:
            return history_file.open_to_write(self.path)
        except sqlite3.OperationalError:
            return history_file.open_to_read(self.path)

    def __repr__(self) -> str:
        return f"<History of {self._router or 'no router'} in {self.path}>"


NO_ROUTER = "this History has no router; pass it as MultiProviderRouter(..., history=History(...))"


def as_history(value: History | str | os.PathLike[str]) -> History:
    """Returns the value of `history=` as a History; a path gives one with default settings.

    Raises:
        ConfigurationError: it is neither a path nor a History, or the directory does not exist.
    """
    return value if isinstance(value, History) else History(value)


def _file(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise ConfigurationError("history", f"must be a path or a History, got {path!r}")
    file = Path(path).absolute()
    if file.is_dir():
        raise ConfigurationError("history", f"must be a file, got the directory {file}")
    if not file.parent.is_dir():
        raise ConfigurationError("history", f"the directory {file.parent} does not exist")
    return file


def _no_writer(_table: str, _values: tuple[Any, ...]) -> None:
    raise UsageError(NO_ROUTER)


def _started(record: AttemptRecord) -> float:
    return record.started


def _time_to_answer(record: AttemptRecord) -> float:
    """Seconds from an attempt's start to its answer, or to the first content of a stream."""
    return record.elapsed if record.first_content is None else record.first_content


def _failures(trail: tuple[AttemptRecord, ...]) -> int:
    if len(trail) == 1 and trail[0].ok:
        return 0
    return sum(record.outcome == "failure" for record in trail)


def _cost(trail: tuple[AttemptRecord, ...]) -> float | None:
    """Known cost of the attempts, USD; None if none of them has a price."""
    if len(trail) == 1:
        return trail[0].cost if trail[0].priced else None
    known = [record.cost for record in trail if record.priced]
    return sum(known) if known else None


def _tokens(trail: tuple[AttemptRecord, ...]) -> tuple[int | None, int | None]:
    """Input and output tokens of the attempts; None if no attempt has them."""
    known = [record.usage for record in trail if record.usage is not None]
    if not known:
        return None, None
    return sum(usage.input for usage in known), sum(usage.output for usage in known)


def _first_content(outcome: CallOutcome[Any]) -> float | None:
    """Seconds from a call's start to the first content of its stream."""
    for record in outcome.attempts:
        if record.first_content is not None:
            return record.started - outcome.started + record.first_content
    return None
