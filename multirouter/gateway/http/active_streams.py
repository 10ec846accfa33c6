"""The streams under way: whoever stops the gateway tells them, while they can still say so."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


class Relays:
    """The streams under way, which can all be told to break off.

    Attributes:
        over: whether they were.
    """

    __slots__ = ("_tasks", "over")

    def __init__(self) -> None:
        self.over: bool = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def break_off(self) -> None:
        """Ends all of them with an error event."""
        self.over = True
        for task in self._tasks:
            task.cancel()

    @contextmanager
    def entered(self) -> Generator[None, None, None]:
        """Counts the running task as one of them."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - only tasks get here
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)
