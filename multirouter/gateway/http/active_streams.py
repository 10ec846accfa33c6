"""Streams under way, so that a shutdown can end them with an error event."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


class ActiveStreams:
    """Tasks that are streaming an answer to a client.

    Attributes:
        cancelled: whether `cancel_all` was called.
    """

    __slots__ = ("_tasks", "cancelled")

    def __init__(self) -> None:
        self.cancelled: bool = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def cancel_all(self) -> None:
        """Cancels all streams; each ends with an error event (see `streams.stream_relay`)."""
        self.cancelled = True
        for task in self._tasks:
            task.cancel()

    def __len__(self) -> int:
        return len(self._tasks)

    @contextmanager
    def tracked(self) -> Generator[None, None, None]:
        """Counts the running task as a stream."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - only tasks get here
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)
