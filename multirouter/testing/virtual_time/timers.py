"""The timers of a virtual loop: a heap ordered by time and, at one instant, by birth."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

SWEEP_FROM = 100
"""Cancelled timers that are kept before a sweep is thought of."""


class Timers:
    """Handles that wait for their instant.

    Tuples are compared in C, a stock `TimerHandle` in Python; and the running number makes the
    order of timers of one instant certain, where stock asyncio leaves it open.
    """

    __slots__ = ("_born", "_cancelled", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Any]] = []
        self._born = 0
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, when: float, handle: asyncio.TimerHandle) -> None:
        """Keeps a handle until `when`, loop time in seconds."""
        self._born += 1
        heapq.heappush(self._heap, (when, self._born, handle))
        handle._scheduled = True  # type: ignore[attr-defined]  # asyncio's own mark, see cancelled

    def cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Counts a cancelled handle, and sweeps when most of the heap is dead."""
        if handle._scheduled:  # type: ignore[attr-defined]  # one that has run is not in the heap
            self._cancelled += 1
            if self._cancelled > SWEEP_FROM and 2 * self._cancelled > len(self._heap):
                self._sweep(handle)

    def _sweep(self, dying: asyncio.TimerHandle) -> None:
        # `dying` is being cancelled just now and does not say so yet.
        self._heap = [e for e in self._heap if not (e[2]._cancelled or e[2] is dying)]
        heapq.heapify(self._heap)
        self._cancelled = 0

    def next_at(self) -> float:
        """When the next live timer is due; `math.inf` when there is none."""
        heap = self._heap
        while heap:
            when, _, handle = heap[0]
            if not handle._cancelled:
                return when
            heapq.heappop(heap)
            handle._scheduled = False
            self._cancelled -= 1
        return math.inf

    def due(self, now: float, ready: Any) -> None:
        """Moves each timer whose instant has come to the end of `ready`, in order."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            handle = heapq.heappop(heap)[2]
            handle._scheduled = False
            if handle._cancelled:
                self._cancelled -= 1
            else:
                ready.append(handle)

    def clear(self) -> None:
        """Forgets everything."""
        self._heap.clear()
        self._cancelled = 0
