"""One computation a second for all open pages, and none while no page is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from multirouter.providers.json_bytes import dumps

INTERVAL = 1.0
"""Seconds between two computations."""

MAX_VIEWERS = 64
"""Pages that may be open at once."""

Sections = Mapping[str, Any]
"""What the page shows, by section, as plain data."""


class TooManyViewers(Exception):
    """`MAX_VIEWERS` pages are open."""


class Feed:
    """Reads the sections once a second while pages are open, and sends each page what has changed.

    Args:
        read: reads the sections now.
        interval: seconds between two computations.

    Attributes:
        viewers: pages that are open.
        computed: computations so far.
    """

    def __init__(
        self, read: Callable[[], Awaitable[Sections]], *, interval: float = INTERVAL
    ) -> None:
        self._read = read
        self._interval = interval
        self._sections: dict[str, tuple[int, bytes]] = {}
        self._ticked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._latest: tuple[int, bytes] = (0, b"")
        self.viewers: int = 0
        self.computed: int = 0

    async def watch(self) -> AsyncGenerator[bytes]:
        """Server-sent events: all sections at first, then those that have changed.

        Raises:
            TooManyViewers: as many pages are open as there may be.
        """
        if self.viewers >= MAX_VIEWERS:
            raise TooManyViewers
        self.viewers += 1
        seen = self.computed
        try:
            if self._task is None or self._task.done():
                self._sections = {}
                self._task = asyncio.create_task(self._tick(), name="console")
            elif self._sections:
                yield self._since(0)
            while True:
                if seen == self.computed:
                    await self._ticked.wait()
                events, seen = self._since(seen), self.computed
                yield events
        finally:
            self.viewers -= 1
            if not self.viewers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _tick(self) -> None:
        while True:
            try:
                sections = await self._read()
                encoded = {name: dumps(value) for name, value in sections.items()}
            except Exception as error:  # noqa: BLE001 - the pages show it, and the next tick may work
                encoded = {"problem": dumps({"text": str(error) or repr(error)})}
            else:
                encoded.setdefault("problem", b"null")
            self.computed += 1
            for name, data in encoded.items():
                if self._sections.get(name, (0, b""))[1] != data:
                    self._sections[name] = (self.computed, data)
            self._ticked.set()
            self._ticked = asyncio.Event()
            await asyncio.sleep(self._interval)

    def _since(self, seen: int) -> bytes:
        """The sections that changed after a computation, as events; encoded once for all pages."""
        number, events = self._latest
        if seen == self.computed - 1 and number == self.computed:
            return events
        changed = [(name, data) for name, (at, data) in self._sections.items() if at > seen]
        events = b"".join(b"event: %s\ndata: %s\n\n" % (n.encode(), data) for n, data in changed)
        if seen == self.computed - 1:
            self._latest = (self.computed, events)
        return events or b": unchanged\n\n"
