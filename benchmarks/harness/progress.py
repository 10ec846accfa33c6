"""Shows on stderr how far a long run has come; silent where nobody watches."""

from __future__ import annotations

import sys
from time import monotonic

EVERY = 0.2
"""Seconds between two updates on a terminal."""


class Progress:
    """Counts the steps of a run; on a terminal it rewrites one line.

    Args:
        what: what the run is about, a few words.
        steps: how many steps it has.
    """

    def __init__(self, what: str, steps: int) -> None:
        self._what = what
        self._steps = steps
        self._done = 0
        self._shown = 0.0
        self._watched = sys.stderr.isatty()

    def step(self, by: int = 1) -> None:
        """Counts steps as done."""
        self._done += by
        ended = self._done >= self._steps
        if self._watched and (ended or monotonic() - self._shown >= EVERY):
            self._shown = monotonic()
            share = self._done / self._steps
            end = "\n" if ended else ""
            print(f"\r\033[K{self._what}: {share:4.0%}", end=end, file=sys.stderr, flush=True)
