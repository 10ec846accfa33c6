"""Progress of a long run on stderr; silent when stderr is not a terminal."""

from __future__ import annotations

import sys
from time import monotonic

INTERVAL = 0.2
"""Seconds between two updates on a terminal."""


class Progress:
    """Counts the steps of a run; on a terminal it rewrites one line.

    Args:
        what: a short description of the run.
        steps: number of steps.
    """

    def __init__(self, what: str, steps: int) -> None:
        self._what = what
        self._steps = steps
        self._done = 0
        self._shown = 0.0
        self._is_terminal = sys.stderr.isatty()

    def step(self, by: int = 1) -> None:
        """Counts steps as done."""
        self._done += by
        ended = self._done >= self._steps
        if self._is_terminal and (ended or monotonic() - self._shown >= INTERVAL):
            self._shown = monotonic()
            share = self._done / self._steps
            end = "\n" if ended else ""
            print(f"\r\033[K{self._what}: {share:4.0%}", end=end, file=sys.stderr, flush=True)
