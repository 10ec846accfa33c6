"""Timers of a virtual loop: a heap ordered by time, and by creation at the same time."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

SWEEP_THRESHOLD = 100
"""Number of cancelled timers in the heap below which they are not removed."""


class Timers:
    """Heap of timer handles.

    Tuples are compared in C, asyncio's `TimerHandle` in Python. The sequence number makes the
    order of timers with the same time deterministic; in asyncio it is undefined.
    """

    __slots__ = ("_cancelled", "_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Any]] = []
        self._sequence = 0
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, when: float, handle: asyncio.TimerHandle) -> None:
        """Adds a handle that is due at `when`, loop time in seconds."""
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, handle))
        handle._scheduled = True  # type: ignore[attr-defined]  # asyncio's own flag, see `cancelled`

    def cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Counts a cancelled handle; removes all cancelled ones when they are the majority."""
        if handle._scheduled:  # type: ignore[attr-defined]  # a handle that has run is not in the heap
            self._cancelled += 1
            if self._cancelled > SWEEP_THRESHOLD and 2 * self._cancelled > len(self._heap):
                self._sweep(handle)

    def _sweep(self, cancelling: asyncio.TimerHandle) -> None:
        # `cancelling` is being cancelled right now; its `_cancelled` is not set yet.
        self._heap = [e for e in self._heap if not (e[2]._cancelled or e[2] is cancelling)]
        heapq.heapify(self._heap)
        self._cancelled = 0

    def next_at(self) -> float:
        """Time of the next timer that is not cancelled; `math.inf` if there is none."""
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
        """Moves all due timers to the end of `ready`, in order."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            handle = heapq.heappop(heap)[2]
            handle._scheduled = False
            if handle._cancelled:
                self._cancelled -= 1
            else:
                ready.append(handle)

    def clear(self) -> None:
        """Removes all timers."""
        self._heap.clear()
        self._cancelled = 0
