"""The one writer of a history: a bounded queue, and a thread that empties it in batches."""

from __future__ import annotations

import atexit
import math
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from multirouter.listeners import history_file
from multirouter.listeners.history_file import PATIENCE, Row

if TYPE_CHECKING:
    from sqlite3 import Connection

BATCH = 5_000
"""Rows in one transaction at most."""

REST = 5.0
"""Seconds until a disk that refused is tried again."""

SWEEP_EVERY = 3_600.0
"""Seconds of recorded time between two looks for rows that are too old."""

Dropped = Callable[[int], object]
Broken = Callable[[str, BaseException], object]


class Writer:
    """Takes rows from the caller's path and brings them to disk behind its back.

    What the disk refuses stays queued and is tried again; a full queue drops what is new, and
    counts it. The thread begins with the first row, and the file is opened by it.

    Args:
        path: the file.
        limit: rows that may wait.
        every: seconds that rows gather into a batch.
        keep: seconds that rows are kept, by their own time.
        dropped: told how many rows were lost.
        broken: told of the first of each series of failures.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit: int,
        every: float,
        keep: float,
        dropped: Dropped,
        broken: Broken,
    ) -> None:
        self._path = path
        self._limit = limit
        self._every = every
        self._keep = keep
        self._dropped = dropped
        self._broken = broken
        self._queue: deque[Row] = deque()
        self._rung = False
        self._bell = Event()
        self._closing = Event()
        self._thread: Thread | None = None
        self._turn = Lock()
        self._connection: Connection | None = None
        self._failing = False
        self._swept = -math.inf

    def put(self, table: str, values: tuple[Any, ...]) -> None:
        """Queues a row; never waits."""
        queue = self._queue
        if len(queue) >= self._limit:
            self._dropped(1)
            return
        queue.append((table, values))
        if not self._rung:
            self._ring()

    def flush(self) -> bool:
        """Writes all that is queued, in the caller's thread; whether the disk took it."""
        with self._turn:
            return self._drain()

    def close(self) -> None:
        """Writes what is queued and closes the file; a row that comes later opens it again.

        What a disk has not taken within `PATIENCE` seconds is lost, and counted.
        """
        thread = self._thread
        self.retire()
        if thread is not None:
            thread.join(PATIENCE)

    def retire(self) -> None:
        """Lets the thread write what is queued and end; never waits, so that a finalizer may."""
        self._thread = None
        self._closing.set()
        self._bell.set()
        atexit.unregister(self.close)

    # -- inside -----------------------------------------------------------------------------

    def _ring(self) -> None:
        """Once a batch: from here to the next drain, a row costs an append."""
        self._rung = True
        if self._thread is None:
            self._closing = Event()
            self._thread = Thread(
                target=self._run, args=(self._closing,), name="multirouter-history", daemon=True
            )
            self._thread.start()
            atexit.register(self.close)
        self._bell.set()

    def _run(self, closing: Event) -> None:
        rest = 0.0
        while not closing.is_set():
            self._bell.wait()
            self._bell.clear()
            closing.wait(max(self._every, rest))
            self._rung = False  # before the drain: a row that comes during it rings again
            rest = 0.0 if self.flush() else REST
            if rest:
                self._bell.set()
        with self._turn:
            if not self._drain():
                self._dropped(len(self._queue))
                self._queue.clear()
            self._disconnect()

    def _drain(self) -> bool:
        """Writes batches until nothing waits; whether the disk took them."""
        queue, size = self._queue, BATCH
        while queue:
            batch = list(islice(queue, size))
            try:
                self._write(batch)
            except (ValueError, OverflowError) as error:
                # What no disk would take (a token count beyond 64 bits) is found by writing one
                # row at a time, so that it costs itself alone.
                if len(batch) > 1:
                    size = 1
                    continue
                self._report(error)
                self._dropped(1)
            except Exception as error:  # noqa: BLE001 - a disk fails in many ways, and costs history only
                self._report(error)
                self._disconnect()
                return False
            for _ in batch:
                queue.popleft()
        self._failing = False
        return True

    def _write(self, batch: list[Row]) -> None:
        connection = self._connection
        if connection is None:
            connection = self._connection = history_file.open_to_write(self._path)
        history_file.add(connection, batch)
        newest = batch[-1][1][0]
        if newest - self._swept >= SWEEP_EVERY:
            self._swept = newest
            history_file.sweep(connection, newest, self._keep)

    def _report(self, error: BaseException) -> None:
        if not self._failing:
            self._failing = True
            # What SQLite says of a disk is safe to tell, and says what to do.
            self._broken(f"history in {self._path} ({error})", error)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
