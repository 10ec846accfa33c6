"""Lanes of a WebSocket: messages of one are answered in order, those of several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Lane = str | None
"""The `stream_id` of a message; None without one, which is a lane too."""


class Lanes:
    """The messages of one connection that are answered, or wait for their turn.

    Args:
        max_messages: messages at the same time.
        max_size: bytes of them together; one message alone may be longer.
        on_busy: is called with whether there are any, when that changes.
    """

    def __init__(self, max_messages: int, max_size: int, on_busy: Callable[[bool], None]) -> None:
        self._max_messages = max_messages
        self._max_size = max_size
        self._on_busy = on_busy
        self._sizes: dict[asyncio.Task[None], int] = {}
        self._last: dict[Lane, asyncio.Task[None]] = {}

    @property
    def busy(self) -> bool:
        """Whether a message is answered."""
        return bool(self._sizes)

    def admits(self, size: int) -> bool:
        """Whether another message of so many bytes may be added."""
        if len(self._sizes) >= self._max_messages:
            return False
        return not self._sizes or sum(self._sizes.values()) + size <= self._max_size

    async def wait_for_an_end(self, most: int) -> None:
        """Waits until a message has been answered, if there are `most` or more."""
        if len(self._sizes) >= most:
            await asyncio.wait(self._sizes, return_when=asyncio.FIRST_COMPLETED)

    def add(self, lane: Lane, size: int, answer: Callable[[], Awaitable[None]]) -> None:
        """Answers a message after those that its lane has already.

        Args:
            lane: the lane.
            size: bytes of the message.
            answer: answers it.
        """
        task = asyncio.create_task(_after(self._last.get(lane), answer))
        if not self._sizes:
            self._on_busy(True)
        self._sizes[task] = size
        self._last[lane] = task
        task.add_done_callback(lambda ended: self._remove(lane, ended))

    async def cancel(self) -> None:
        """Cancels all answers, and waits for their end."""
        tasks = list(self._sizes)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _remove(self, lane: Lane, task: asyncio.Task[None]) -> None:
        del self._sizes[task]
        if self._last.get(lane) is task:
            del self._last[lane]
        if not self._sizes:
            self._on_busy(False)


async def _after(
    previous: asyncio.Task[None] | None, answer: Callable[[], Awaitable[None]]
) -> None:
    if previous is not None:
        await asyncio.wait({previous})
    await answer()
