"""One history file: opened to write or to read, batches added whole, the past cut off by age."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multirouter.errors import ConfigurationError
from multirouter.listeners.history import schema

if TYPE_CHECKING:
    from sqlite3 import Connection

Row = tuple[str, tuple[Any, ...]]
"""A table and the values of one row of it."""

PATIENCE = 5.0
"""Seconds to wait for another process that is writing."""

SWEPT_AT_ONCE = 5_000
"""Rows deleted in one transaction, so that another process is never kept waiting for long."""

SPENDING_KEPT = 32 * 86_400.0
"""Seconds that sums of money are kept at least: a budget may run for a month."""

_BOOKING = (
    "INSERT INTO spending (at, router, route, provider, cost) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET cost = cost + excluded.cost"
)
_INSERTIONS = {table: schema.insertion(table) for table in schema.TABLES}


def open_to_write(path: Path) -> Connection:
    """Opens a history, made or migrated where needed, in write-ahead mode.

    With `synchronous=NORMAL` what was committed survives the death of the process; a power cut may
    cost the last batches and never the file.
    Source: https://www.sqlite.org/pragma.html#pragma_synchronous

    Raises:
        sqlite3.Error: the disk does not let us.
        ConfigurationError: the file is none of ours.
    """
    connection = _connected(f"{path.absolute().as_uri()}?mode=rwc")
    try:
        _version(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        schema.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> Connection:
    """Opens a history that is there, without changing it; on a read-only disk too.

    Raises:
        sqlite3.Error: the file cannot be read, or is damaged.
        ConfigurationError: it is no history, empty, or of a version that this one cannot read.
    """
    import sqlite3

    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        return _checked(address)
    except sqlite3.OperationalError:
        # A write-ahead log asks even its readers for a writable directory, unless the file is
        # promised to stand still. Source: https://www.sqlite.org/wal.html#read_only_databases
        if Path(f"{path}-wal").exists() or not path.exists():
            raise
        return _checked(f"{address}&immutable=1")


def _checked(address: str) -> Connection:
    connection = _connected(address)
    try:
        _refuse_old(_version(connection))
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_old(version: int) -> None:
    """Refuses a file that would have to be written to before it can be read."""
    if version < len(schema.MIGRATIONS):
        old = f"has version {version}, and only a router brings it up to date"
        raise ConfigurationError("history", f"the file {old if version else 'is empty yet'}")


def _version(connection: Connection) -> int:
    """The file's version, when it is ours; nothing is written to what is somebody else's.

    Raises:
        ConfigurationError: it is none of ours.
    """
    import sqlite3

    try:
        return schema.check(connection)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname == "SQLITE_NOTADB":
            raise ConfigurationError("history", "the file is no SQLite database") from error
        raise


def _connected(address: str) -> Connection:
    import sqlite3

    # Autocommit: transactions are begun and ended here. Threads take turns behind a lock.
    return sqlite3.connect(
        address, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
    )


def identity(path: Path) -> tuple[int, int] | None:
    """Which file it is that stands there now, whatever its name; None for none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def let_go(connection: Connection) -> None:
    """Closes a file that was moved away; its log, which stays behind, is brought into it first.

    SQLite's own closing leaves the log of a moved file as it is, for the next file of that name to
    find. Source: https://www.sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use
    """
    import sqlite3

    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def refuses_the_row(error: Exception) -> bool:
    """Whether what failed is a row that no file would take, rather than the disk."""
    import sqlite3

    unfit = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
    return isinstance(error, (ValueError, OverflowError, *unfit))


def add(connection: Connection, rows: Iterable[Row]) -> None:
    """Adds rows, all or none, and books what their attempts cost."""
    by_table: dict[str, list[tuple[Any, ...]]] = {}
    for table, values in rows:
        by_table.setdefault(table, []).append(values)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for table, values_of_rows in by_table.items():
            connection.executemany(_INSERTIONS[table], values_of_rows)
        connection.executemany(_BOOKING, _spent(by_table.get("attempts", ())))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back already
            connection.execute("ROLLBACK")
        raise


_AT, _ROUTER, _ROUTE, _PROVIDER, _ROLE, _COST = map(
    schema.ATTEMPTS.index, ("at", "router", "route", "provider", "role", "cost")
)


def _spent(attempts: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """What attempts cost, one sum for each slot and account; copies are on nobody's bill."""
    sums: Counter[tuple[Any, ...]] = Counter()
    for row in attempts:
        if row[_COST] and row[_ROLE] != "shadow":
            slot = row[_AT] - row[_AT] % schema.SLOT
            sums[slot, row[_ROUTER], row[_ROUTE], row[_PROVIDER]] += row[_COST]
    return ((*account, cost) for account, cost in sums.items())


def sweep(connection: Connection, now: float, keep: float) -> None:
    """Deletes what is older than `keep` seconds at `now`; the file's pages are used again."""
    before = now - keep
    connection.execute("DELETE FROM spending WHERE at < ?", (now - max(keep, SPENDING_KEPT),))
    for table in schema.TABLES:
        old = f"SELECT rowid FROM {table} WHERE at < ? LIMIT {SWEPT_AT_ONCE}"  # noqa: S608 - constants
        gone = SWEPT_AT_ONCE
        while gone == SWEPT_AT_ONCE:
            deleted = connection.execute(
                f"DELETE FROM {table} WHERE rowid IN ({old})",  # noqa: S608 - constants
                (before,),
            )
            gone = deleted.rowcount
