"""Ids that providers have made, so that a request that names one goes to the account that knows it.

A service keeps responses, conversations and their items for one account. A request that refers to
them (`previous_response_id`, `conversation`, an item reference) means nothing to any other one.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.ids.references import MAX_ITEMS, not_found_code, references_in
from multirouter.gateway.response_store import open_private

MAX_IDS = 100_000
"""Ids that are remembered, in about 15 MB; the oldest are forgotten."""

_BUSY_TIMEOUT = 250
"""Milliseconds that an answer waits while another process writes."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS made_ids (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    provider TEXT NOT NULL,
    UNIQUE (id, owner)
)
"""


class MadeIds:
    """Remembers which provider made an id, in a file that all processes of a gateway share.

    Clients of several keys use one account of a service, which answers each of them about
    everything in it. So an id also has an owner, the key whose request it was made for, and no
    other key can name it.

    A disk that fails loses ids, but fails no request.

    Args:
        path: the file; it is created, readable by its owner alone. None keeps the ids in memory.
        keep: ids that are remembered, at least 1.

    Raises:
        ConfigurationError: the file cannot be opened, or is no such file.
    """

    def __init__(self, path: Path | None = None, keep: int = MAX_IDS) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._writing: set[asyncio.Future[None]] = set()
        self._connection: sqlite3.Connection | None = None  # in memory from the first id on
        if path is not None:
            self._connection = open_private(path, _SCHEMA)
            self._connection.execute("PRAGMA synchronous = OFF")  # a lost id is no lost content
            self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT}")

    def remember(self, provider: str, ids: Iterable[str], owner: str = "") -> asyncio.Future[None]:
        """Remembers ids, in a thread.

        Args:
            provider: the name of the provider that made them.
            ids: the ids.
            owner: the name of the key of the client; "" without keys.
        """
        loop = asyncio.get_running_loop()
        kept = list(islice(ids, MAX_ITEMS))
        writing = loop.run_in_executor(None, self._put, provider, kept, owner)
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        return writing

    async def providers_for(
        self, body: Mapping[str, Any], owner: str = ""
    ) -> frozenset[str] | None:
        """The providers that can answer a request, by the ids that it names; None for all.

        A stream brings its client an id before it is written: those ids are waited for.

        Args:
            body: the request.
            owner: the name of the key of the client; "" without keys.

        Raises:
            HTTPError: 400, it names ids of different providers, or one of another owner.
        """
        named = {id_: field for field, id_ in references_in(body)} if self._known else {}
        if not named:
            return None
        if self._writing:
            await asyncio.wait(tuple(self._writing))
        makers, foreign = await asyncio.to_thread(self._get, list(named), owner)
        if foreign:
            field, id_ = named[min(foreign)], min(foreign)
            message = f"{field}: must be an id from an answer to this key, got {id_!r}"
            raise HTTPError(400, message, code=not_found_code(field), param=field)
        if not makers:
            return None
        if len(set(makers.values())) > 1:
            fields = ", ".join(sorted({named[id_] for id_ in makers}))
            message = f"{fields}: must be ids of one provider, got ids that several have made"
            raise HTTPError(400, message, code="invalid_value", param=fields)
        return frozenset(makers.values())

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._database().close()  # a thread that is late then finds it closed

    @property
    def _known(self) -> bool:
        """Whether any id may be known: none is in memory before the first."""
        return self._connection is not None or bool(self._writing)

    def _put(self, provider: str, ids: Iterable[str], owner: str) -> None:
        rows = [(id_, owner, provider) for id_ in ids]
        with self._lock, contextlib.suppress(sqlite3.Error), self._database() as db:
            db.executemany(
                "INSERT OR REPLACE INTO made_ids (id, owner, provider) VALUES (?, ?, ?)", rows
            )
            db.execute(
                "DELETE FROM made_ids WHERE number <= (SELECT max(number) FROM made_ids) - ?",
                (self._keep,),
            )

    def _get(self, ids: list[str], owner: str) -> tuple[dict[str, str], set[str]]:
        """The provider of each id that the owner may name, and the ids of other owners alone."""
        marks = ", ".join("?" * len(ids))
        query = f"SELECT id, owner, provider FROM made_ids WHERE id IN ({marks})"  # noqa: S608 - marks alone
        found: list[tuple[str, str, str]] = []
        with self._lock, contextlib.suppress(sqlite3.Error):
            found = self._database().execute(query, ids).fetchall()
        own = {id_: provider for id_, of, provider in found if of == owner}
        return own, {id_ for id_, *_ in found} - own.keys()

    def _database(self) -> sqlite3.Connection:
        """The connection; the caller holds the lock."""
        if self._connection is None:
            self._connection = sqlite3.connect(":memory:", check_same_thread=False)
            weakref.finalize(self, self._connection.close)  # of a gateway that is not closed
            self._connection.execute(_SCHEMA)
        return self._connection
