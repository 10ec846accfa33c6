"""Files that several processes open at the same moment are put into write-ahead mode."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from multirouter.write_ahead import use_write_ahead


def locked(path: Path) -> sqlite3.Connection:
    """A connection that holds the lock of a new file, as one that switches its mode does."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    return holder


def mode(connection: sqlite3.Connection) -> str:
    found: str = connection.execute("PRAGMA journal_mode").fetchone()[0]
    return found


def test_a_moment_of_another_process_is_waited_for(tmp_path: Path) -> None:
    """SQLite itself gives up at once here; pauses grow, and end when the lock is released."""
    path = tmp_path / "file"
    pauses: list[float] = []
    with closing(locked(path)) as holder, closing(sqlite3.connect(path, timeout=0)) as connection:

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                holder.execute("COMMIT")

        use_write_ahead(connection, 5.0, sleep)
        assert mode(connection) == "wal"
    assert pauses == [0.001, 0.002, 0.004]


def test_a_lock_that_stays_is_an_error(tmp_path: Path) -> None:
    """After the timeout, and not before."""
    path = tmp_path / "file"
    pauses: list[float] = []
    with (
        closing(locked(path)),
        closing(sqlite3.connect(path, timeout=0)) as connection,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        use_write_ahead(connection, 0.5, pauses.append)
    assert 0.5 <= sum(pauses) < 0.6


def test_other_errors_are_not_tried_again(tmp_path: Path) -> None:
    """A file that is no database, and one that cannot be written."""
    path = tmp_path / "file"
    path.write_text("no database, and longer than the header of one" * 10)
    with (
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.DatabaseError, match="not a database"),
    ):
        use_write_ahead(connection, 5.0, pytest.fail)
    other = tmp_path / "other"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (a)")
    uri = f"{other.as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True)) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        use_write_ahead(connection, 5.0, pytest.fail)
