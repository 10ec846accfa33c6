"""The one writer of a history: a bounded queue, and a thread that empties it in batches."""

from __future__ import annotations

import atexit
import math
import os
import uuid
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from multirouter.listeners.history import file as history_file
from multirouter.listeners.history.file import PATIENCE, Row

if TYPE_CHECKING:
    from sqlite3 import Connection

BATCH = 5_000
"""Rows in one transaction at most."""

REST = 5.0
"""Seconds until a disk that refused is tried again."""

SWEEP_EVERY = 3_600.0
"""Seconds of recorded time between two looks for rows that are too old."""

SWEEP_AGAIN = 60.0
"""Seconds of recorded time until a look that the disk refused is tried again."""

Dropped = Callable[[int], object]
Broken = Callable[[str, BaseException], object]

_WRITERS: WeakSet[Writer] = WeakSet()
"""All writers of this process: each must begin anew in a process that is forked off it."""

_INHERITED: list[Connection | None] = []
"""Files that were open when this process was forked; using or closing them here may harm them.
Source: https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
"""


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

    Attributes:
        run: tells this process's rows from those of others that share the file.
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
        self._opened: tuple[int, int] | None = None
        self._failing = False
        self._swept = -math.inf
        self.run: str = _new_run()
        _WRITERS.add(self)

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

    def begin_anew(self) -> None:
        """Begins without thread, file and rows in a forked process: its parent has them."""
        _INHERITED.append(self._connection)
        self._connection = self._thread = None
        self._queue.clear()
        self._rung = self._failing = False
        self._bell, self._closing, self._turn = Event(), Event(), Lock()
        self.run = _new_run()

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
                history_file.add(self._file(), batch)
            except Exception as error:  # noqa: BLE001 - a disk fails in many ways, and costs history only
                if not history_file.refuses_the_row(error):
                    self._report(error)
                    self._disconnect()
                    return False
                # What no disk would take (a NaN, a count beyond 64 bits) is found by writing one
                # row at a time, so that it costs itself alone.
                if len(batch) > 1:
                    size = 1
                    continue
                self._report(error)
                self._dropped(1)
            for _ in batch:
                queue.popleft()
            self._sweep(batch[-1][1][0])
        self._failing = False
        return True

    def _file(self) -> Connection:
        """The open file; when it was moved or deleted meanwhile, the one in its place."""
        if self._connection is not None and history_file.identity(self._path) != self._opened:
            connection, self._connection = self._connection, None
            history_file.let_go(connection)
        if self._connection is None:
            self._connection = history_file.open_to_write(self._path)
            self._opened = history_file.identity(self._path)
        return self._connection

    def _sweep(self, newest: float) -> None:
        """Deletes what is too old, now and then; when it cannot, next time."""
        if self._connection is None or newest - self._swept < SWEEP_EVERY:
            return
        self._swept = newest
        try:
            history_file.sweep(self._connection, newest, self._keep)
        except Exception as error:  # noqa: BLE001 - as above; what was written stays written
            self._swept -= SWEEP_EVERY - SWEEP_AGAIN
            self._report(error)

    def _report(self, error: BaseException) -> None:
        if not self._failing:
            self._failing = True
            # What SQLite says of a disk is safe to tell, and says what to do.
            self._broken(f"history in {self._path} ({error})", error)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _new_run() -> str:
    return uuid.uuid4().hex[:12]


def _forked() -> None:
    for writer in list(_WRITERS):
        writer.begin_anew()


if hasattr(os, "register_at_fork"):  # nothing forks on Windows
    os.register_at_fork(after_in_child=_forked)
