"""SQLite access to a history file: open, insert batches, delete old rows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multirouter.errors import ConfigurationError
from multirouter.listeners.history import schema
from multirouter.write_ahead import use_write_ahead

if TYPE_CHECKING:
    from sqlite3 import Connection

Row = tuple[str, tuple[Any, ...]]
"""A table name and the values of one row."""

BUSY_TIMEOUT = 5.0
"""Seconds to wait for a lock that another process holds."""

DELETE_BATCH = 5_000
"""Rows deleted in one transaction, so that other processes never wait long for the lock."""

SPENDING_RETENTION = 32 * 86_400.0
"""Minimum retention of `spending`, seconds: the period of a budget may be a month."""

_ADD_SPENDING = (
    "INSERT INTO spending (at, router, route, provider, cost) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET cost = cost + excluded.cost"
)
_INSERTS = {table: schema.insert_statement(table) for table in schema.TABLES}


def open_to_write(path: Path) -> Connection:
    """Opens a history for writing in write-ahead mode; creates or migrates it if needed.

    With `synchronous=NORMAL` committed rows survive the end of the process. A power failure may
    lose the last batches but never corrupts the file.
    Source: https://www.sqlite.org/pragma.html#pragma_synchronous

    Raises:
        sqlite3.Error: the file cannot be opened or written.
        ConfigurationError: the file is not a history.
    """
    with suppress(OSError):  # it exists, or cannot be created, which SQLite reports
        # Readable by its owner only; SQLite gives its other files the same mode.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = _connect(f"{path.absolute().as_uri()}?mode=rwc")
    try:
        _version(connection)
        use_write_ahead(connection, BUSY_TIMEOUT)
        connection.execute("PRAGMA synchronous = NORMAL")
        schema.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> Connection:
    """Opens an existing history without changing it; works on a read-only disk.

    Raises:
        sqlite3.Error: the file cannot be read, or is corrupt.
        ConfigurationError: it is not a history, is empty, or has an unsupported version.
    """
    import sqlite3

    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        return _open_read_only(uri)
    except sqlite3.OperationalError:
        # In write-ahead mode even readers need a writable directory, unless the file is declared
        # immutable. Source: https://www.sqlite.org/wal.html#read_only_databases
        if Path(f"{path}-wal").exists() or not path.exists():
            raise
        return _open_read_only(f"{uri}&immutable=1")


def _open_read_only(uri: str) -> Connection:
    connection = _connect(uri)
    try:
        _require_current(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _require_current(connection: Connection) -> None:
    """Raises if a file would have to be migrated, and so written, before it can be read."""
    version, file = _version(connection), schema.file_of(connection)
    if version == 0:
        raise ConfigurationError("history", f"{file} is not a history: it is empty")
    if version < len(schema.MIGRATIONS):
        raise ConfigurationError(
            "history",
            f"{file} has version {version}: start a router with it once, which migrates it to "
            f"version {len(schema.MIGRATIONS)}",
        )


def _version(connection: Connection) -> int:
    """Returns the file's version without writing to the file.

    Raises:
        ConfigurationError: it is not a history.
    """
    import sqlite3

    try:
        return schema.version_of(connection)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname == "SQLITE_NOTADB":
            file = schema.file_of(connection)
            raise ConfigurationError("history", f"{file} is not an SQLite database") from error
        raise


def _connect(uri: str) -> Connection:
    import sqlite3

    # isolation_level=None is autocommit: transactions are explicit. The callers hold a lock, so
    # the connection may be used by several threads.
    return sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file at this path; None if there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def close_moved(connection: Connection) -> None:
    """Closes a file that was moved or deleted, after writing its write-ahead log into it.

    Without that, SQLite leaves the log under the old name, where the next file of that name would
    find it. Source: https://www.sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use
    """
    import sqlite3

    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def is_row_error(error: Exception) -> bool:
    """Whether an insert failed because of the row itself, not because of the disk."""
    import sqlite3

    row_errors = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
    return isinstance(error, (ValueError, OverflowError, *row_errors))


def insert(connection: Connection, rows: Iterable[Row]) -> None:
    """Inserts rows and adds the cost of their attempts to `spending`, in one transaction."""
    by_table: dict[str, list[tuple[Any, ...]]] = {}
    for table, values in rows:
        by_table.setdefault(table, []).append(values)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for table, values_of_rows in by_table.items():
            connection.executemany(_INSERTS[table], values_of_rows)
        connection.executemany(_ADD_SPENDING, _spending(by_table.get("attempts", ())))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # after "disk full" SQLite has rolled back already
            connection.execute("ROLLBACK")
        raise


_AT, _ROUTER, _ROUTE, _PROVIDER, _ROLE, _COST = map(
    schema.ATTEMPTS.index, ("at", "router", "route", "provider", "role", "cost")
)


def _spending(attempts: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Cost of attempts, summed by slot, router, route and provider; shadow copies do not count."""
    sums: Counter[tuple[Any, ...]] = Counter()
    for row in attempts:
        if row[_COST] and row[_ROLE] != "shadow":
            slot = row[_AT] - row[_AT] % schema.SLOT
            sums[slot, row[_ROUTER], row[_ROUTE], row[_PROVIDER]] += row[_COST]
    return ((*key, cost) for key, cost in sums.items())


def delete_old(connection: Connection, now: float, retention: float) -> None:
    """Deletes rows older than `retention` seconds at `now`; the file's pages are reused."""
    before = now - retention
    connection.execute(
        "DELETE FROM spending WHERE at < ?", (now - max(retention, SPENDING_RETENTION),)
    )
    for table in schema.TABLES:
        old = f"SELECT rowid FROM {table} WHERE at < ? LIMIT {DELETE_BATCH}"  # noqa: S608 - constants
        deleted = DELETE_BATCH
        while deleted == DELETE_BATCH:
            result = connection.execute(
                f"DELETE FROM {table} WHERE rowid IN ({old})",  # noqa: S608 - constants
                (before,),
            )
            deleted = result.rowcount
