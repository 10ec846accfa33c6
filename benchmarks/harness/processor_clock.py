"""An event loop whose clock is not disturbed by other work of the machine."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Any


class ProcessorTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose time is the processor time of the process plus the time it would have slept.

    It never sleeps: a wait ends at once and moves the clock. What it measures is what an idle
    machine would show, whatever else runs.
    """

    def __init__(self) -> None:
        self._slept = 0.0
        super().__init__(_NeverSleeping(self))

    def time(self) -> float:
        """Loop time, seconds."""
        return time.process_time() + self._slept

    def sleep(self, seconds: float) -> None:
        """Moves the clock, as a sleep of the process would."""
        self._slept += seconds


class _NeverSleeping(selectors.SelectSelector):
    """Moves the clock of its loop instead of waiting."""

    def __init__(self, loop: ProcessorTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        found = super().select(0)
        if not found and timeout:
            self._loop.sleep(timeout)
        return found
