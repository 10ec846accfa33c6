"""Responses by id, in an SQLite file, for clients that refer to them instead of sending them again.

The file is apart from the history, which has no contents of requests. All processes of a gateway
share it, and it survives restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from multirouter.errors import ConfigurationError
from multirouter.providers.json_bytes import dumps, loads
from multirouter.write_ahead import use_write_ahead

if TYPE_CHECKING:
    from sqlite3 import Connection

MAX_SIZE = 2**25
"""Bytes of one stored response with its conversation; a larger one is not stored."""

_BUSY_TIMEOUT = 5.0
"""Seconds that a process waits while another one writes."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    created REAL NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (id, owner)
)
"""


class StoredResponse(NamedTuple):
    """One response.

    Attributes:
        items: the items of its whole conversation, without its own output.
        response: the response itself.
    """

    items: list[Any]
    response: dict[str, Any]


class ResponseStore:
    """Keeps the newest responses of each gateway.

    Args:
        path: the file; it is created, readable by its owner alone.
        keep: responses that are kept, at least 1; the oldest are deleted.
        retention: seconds that a response is kept, > 0.
        wall: seconds since 1970.

    Raises:
        ConfigurationError: the file cannot be opened, or is no such file.
    """

    def __init__(
        self,
        path: Path,
        keep: int,
        retention: float,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._keep = keep
        self._retention = retention
        self._wall = wall
        self._lock = threading.Lock()
        self._connection = open_private(path, _SCHEMA)

    async def put(self, owner: str, stored: StoredResponse) -> None:
        """Stores a response, unless it is too large or the disk does not take it.

        Args:
            owner: the name of the key of its client; "" without keys.
            stored: the response and its conversation.
        """
        await asyncio.to_thread(self._put, owner, stored)

    async def get(self, owner: str, id_: str) -> StoredResponse | None:
        """A response of this owner; None for an unknown one."""
        return await asyncio.to_thread(self._get, owner, id_)

    async def delete(self, owner: str, id_: str) -> bool:
        """Deletes a response of this owner; False for an unknown one."""
        return await asyncio.to_thread(self._delete, owner, id_)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def _put(self, owner: str, stored: StoredResponse) -> None:
        import sqlite3

        body = dumps(stored._asdict())
        if len(body) > MAX_SIZE:
            return
        now = self._wall()
        row = (str(stored.response["id"]), owner, now, body)
        with self._lock, contextlib.suppress(sqlite3.OperationalError), self._connection as db:
            db.execute(
                "INSERT OR REPLACE INTO responses (id, owner, created, body) VALUES (?, ?, ?, ?)",
                row,
            )
            db.execute("DELETE FROM responses WHERE created < ?", (now - self._retention,))
            db.execute(
                "DELETE FROM responses WHERE number <= "
                "(SELECT number FROM responses ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (self._keep,),
            )

    def _get(self, owner: str, id_: str) -> StoredResponse | None:
        oldest = self._wall() - self._retention
        with self._lock:
            row = self._connection.execute(
                "SELECT body FROM responses WHERE id = ? AND owner = ? AND created >= ?",
                (id_, owner, oldest),
            ).fetchone()
        return None if row is None else StoredResponse(**loads(row[0]))

    def _delete(self, owner: str, id_: str) -> bool:
        with self._lock, self._connection as db:
            found = db.execute("DELETE FROM responses WHERE id = ? AND owner = ?", (id_, owner))
            return found.rowcount > 0


def open_private(path: Path, schema: str) -> Connection:
    """Opens a file of the gateway; it is created, readable by its owner alone.

    Args:
        path: the file.
        schema: the statement that creates its table unless it exists.

    Raises:
        ConfigurationError: the file cannot be opened, or is no such file.
    """
    import sqlite3

    try:
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, check_same_thread=False)
        try:
            use_write_ahead(connection, _BUSY_TIMEOUT)
            connection.execute(schema)
        except sqlite3.Error:
            connection.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise ConfigurationError(
            "history.responses", f"{path} cannot be opened: {error}"
        ) from error
    return connection
