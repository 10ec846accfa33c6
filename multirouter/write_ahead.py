"""Write-ahead mode of SQLite files that several processes open at the same moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Connection

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05


def use_write_ahead(
    connection: Connection, timeout: float, sleep: Callable[[float], object] = time.sleep
) -> None:
    """Puts the file of a connection into write-ahead mode, or leaves it there.

    When two processes do this with a new file at once, SQLite rejects one of them immediately,
    whatever the timeout of its connection: waiting could be a deadlock. It is tried again here.

    Source: https://www.sqlite.org/c3ref/busy_handler.html

    Args:
        connection: it is in no transaction.
        timeout: seconds after which the file counts as locked.
        sleep: waits for some seconds.

    Raises:
        sqlite3.Error: the file is locked for longer, or is no database.
    """
    import sqlite3

    waited, pause = 0.0, _FIRST_PAUSE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # The last byte says which error it is, the others specify it.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or waited >= timeout:
                raise
        else:
            return
        sleep(pause)
        waited, pause = waited + pause, min(2 * pause, _LONGEST_PAUSE)
