"""Writer of a history: a bounded queue, and a thread that writes its rows in batches."""

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
from multirouter.listeners.history.file import BUSY_TIMEOUT, Row

if TYPE_CHECKING:
    from sqlite3 import Connection

BATCH = 5_000
"""Maximum rows in one transaction."""

RETRY_DELAY = 5.0
"""Seconds until a failed write is retried."""

DELETE_INTERVAL = 3_600.0
"""Seconds of recorded time between two deletions of old rows."""

DELETE_RETRY_DELAY = 60.0
"""Seconds of recorded time until a failed deletion is retried."""

OnDropped = Callable[[int], object]
OnError = Callable[[str, BaseException], object]

_WRITERS: WeakSet[Writer] = WeakSet()
"""All writers of this process: each is reset in a forked child process."""

_INHERITED: list[Connection | None] = []
"""Connections that were open when this process was forked; using or closing them here may corrupt
the file.
Source: https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
"""


class Writer:
    """Queues rows and writes them to the file in a background thread.

    Rows that could not be written stay queued and are retried. If the queue is full, new rows are
    dropped and counted. The thread starts with the first row and opens the file itself.

    Args:
        path: the file.
        max_queued: maximum rows in the queue.
        interval: seconds that rows are collected into a batch.
        retention: seconds after which rows are deleted, by their own `at`.
        on_dropped: called with the number of rows dropped.
        on_error: called with a description and the exception, for the first of consecutive
            failures.

    Attributes:
        run: identifies this process's rows in a file shared by several processes.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_queued: int,
        interval: float,
        retention: float,
        on_dropped: OnDropped,
        on_error: OnError,
    ) -> None:
        self._path = path
        self._max_queued = max_queued
        self._interval = interval
        self._retention = retention
        self._on_dropped = on_dropped
        self._on_error = on_error
        self._queue: deque[Row] = deque()
        self._notified = False
        self._wake = Event()
        self._closing = Event()
        self._thread: Thread | None = None
        self._lock = Lock()
        self._connection: Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._failing = False
        self._last_delete = -math.inf
        self.run: str = _new_run_id()
        _WRITERS.add(self)

    def put(self, table: str, values: tuple[Any, ...]) -> None:
        """Queues a row; never waits."""
        queue = self._queue
        if len(queue) >= self._max_queued:
            self._on_dropped(1)
            return
        queue.append((table, values))
        if not self._notified:
            self._notify()

    def flush(self) -> bool:
        """Writes all queued rows in the caller's thread; returns whether that succeeded."""
        with self._lock:
            return self._drain()

    def close(self) -> None:
        """Writes all queued rows and closes the file; a later row opens it again.

        Rows that could not be written within `BUSY_TIMEOUT` seconds are dropped and counted.
        """
        thread = self._thread
        self.stop()
        if thread is not None:
            thread.join(BUSY_TIMEOUT)

    def stop(self) -> None:
        """Makes the thread write all queued rows and end, without waiting; safe in a finalizer."""
        self._thread = None
        self._closing.set()
        self._wake.set()
        atexit.unregister(self.close)

    def reset_after_fork(self) -> None:
        """Clears thread, file and rows in a forked child process: they belong to the parent."""
        _INHERITED.append(self._connection)
        self._connection = self._thread = None
        self._queue.clear()
        self._notified = self._failing = False
        self._wake, self._closing, self._lock = Event(), Event(), Lock()
        self.run = _new_run_id()

    def _notify(self) -> None:
        """Wakes the thread, once per batch; until the next drain, a row costs one append."""
        self._notified = True
        if self._thread is None:
            self._closing = Event()
            self._thread = Thread(
                target=self._run, args=(self._closing,), name="multirouter-history", daemon=True
            )
            self._thread.start()
            atexit.register(self.close)
        self._wake.set()

    def _run(self, closing: Event) -> None:
        delay = 0.0
        while not closing.is_set():
            self._wake.wait()
            self._wake.clear()
            closing.wait(max(self._interval, delay))
            self._notified = False  # before the drain: a row queued during it notifies again
            delay = 0.0 if self.flush() else RETRY_DELAY
            if delay:
                self._wake.set()
        with self._lock:
            if not self._drain():
                self._on_dropped(len(self._queue))
                self._queue.clear()
            self._disconnect()

    def _drain(self) -> bool:
        """Writes batches until the queue is empty; returns whether that succeeded."""
        queue, size = self._queue, BATCH
        while queue:
            batch = list(islice(queue, size))
            try:
                history_file.insert(self._file(), batch)
            except Exception as error:  # noqa: BLE001 - a disk error must not end the thread
                if not history_file.is_row_error(error):
                    self._report(error)
                    self._disconnect()
                    return False
                # A row that SQLite rejects (a NaN, a count beyond 64 bits) is found by writing one
                # row at a time, so that only this row is dropped.
                if len(batch) > 1:
                    size = 1
                    continue
                self._report(error)
                self._on_dropped(1)
            for _ in batch:
                queue.popleft()
            self._delete_old(batch[-1][1][0])
        self._failing = False
        return True

    def _file(self) -> Connection:
        """The open file; if it was moved or deleted, a new one at the same path."""
        if self._connection is not None and history_file.identity(self._path) != self._identity:
            connection, self._connection = self._connection, None
            history_file.close_moved(connection)
        if self._connection is None:
            self._connection = history_file.open_to_write(self._path)
            self._identity = history_file.identity(self._path)
        return self._connection

    def _delete_old(self, newest: float) -> None:
        """Deletes old rows if the last deletion was long enough ago; retries after a failure."""
        if self._connection is None or newest - self._last_delete < DELETE_INTERVAL:
            return
        self._last_delete = newest
        try:
            history_file.delete_old(self._connection, newest, self._retention)
        except Exception as error:  # noqa: BLE001 - as above; the rows inserted before stay
            self._last_delete -= DELETE_INTERVAL - DELETE_RETRY_DELAY
            self._report(error)

    def _report(self, error: BaseException) -> None:
        if not self._failing:
            self._failing = True
            # SQLite's messages about files contain no user data.
            self._on_error(f"history in {self._path} ({error})", error)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _new_run_id() -> str:
    return uuid.uuid4().hex[:12]


def _reset_after_fork() -> None:
    for writer in list(_WRITERS):
        writer.reset_after_fork()


if hasattr(os, "register_at_fork"):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_reset_after_fork)
