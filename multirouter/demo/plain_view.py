"""The demo in plain lines, for pipes, files and terminals that cannot do more."""

from __future__ import annotations

from typing import TextIO

from multirouter.demo.provider_rows import Standing, standings
from multirouter.demo.run import Stage


class Lines:
    """Writes a line a second, and one for each thing that happens.

    Args:
        out: where to.

    Attributes:
        every: seconds between two lines.
    """

    every: float = 1.0

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._told = 0
        self._started = False

    def show(self, stage: Stage) -> None:
        """Writes what is new."""
        if not self._started:
            self._started = True
            self._write(
                f"Three HTTP providers on loopback, {stage.scenario.calls} calls, "
                f"{stage.scenario.concurrency} at a time."
            )
            self._write(f"Metrics while this runs: {stage.exposition.url}")
            return
        history = stage.tally.history
        for moment in history[self._told :]:
            self._write(f"** {moment}")
        self._told = len(history)
        done = f"{stage.tally.calls}/{stage.scenario.calls} calls"
        errors = f"errors {stage.tally.errors.total()}"
        rows = map(_row, standings(stage.router, stage.tally))
        self._write("  |  ".join([f"   {stage.elapsed():6.1f} s  {done}, {errors}", *rows]))

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


class Silence:
    """Shows nothing, where only the end is asked for."""

    every: float = 60.0

    def show(self, stage: Stage) -> None:
        """Shows nothing."""


def _row(row: Standing) -> str:
    drawn = f"{row.share:.0%}" if row.state == "closed" else row.state_in_words
    return f"{row.provider} {drawn}, failed {row.failed}"
