"""View of the demo as plain lines, for pipes, files and simple terminals."""

from __future__ import annotations

from typing import TextIO

from multirouter.demo.provider_rows import ProviderRow, provider_rows
from multirouter.demo.run import DemoState

LEGEND = (
    "Each line: calls, errors seen by callers; per provider: share or circuit, failed attempts."
)


class PlainView:
    """Writes one line per second, and one per event.

    Args:
        out: the text stream to write to.

    Attributes:
        every: seconds between two lines.
    """

    every: float = 1.0

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._events_written = 0
        self._serving = False

    def show(self, demo: DemoState) -> None:
        """Writes the new events and the current state."""
        if not self._serving:
            self._serving = True
            self._write(
                f"Three HTTP providers on loopback, {demo.scenario.calls} calls, "
                f"{demo.scenario.concurrency} concurrent."
            )
            self._write(f"Metrics during the run: {demo.metrics.url}")
            self._write(f"{LEGEND}\n")
            return
        events = demo.counters.events
        for event in events[self._events_written :]:
            self._write(f"** {event}")
        self._events_written = len(events)
        done = f"{demo.counters.calls}/{demo.scenario.calls} calls"
        errors = f"errors {demo.counters.errors.total()}"
        rows = map(_row, provider_rows(demo.router, demo.counters))
        self._write("  |  ".join([f"   {demo.elapsed():6.1f} s  {done}, {errors}", *rows]))

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


class NullView:
    """Shows nothing: only the summary is printed."""

    every: float = 60.0

    def show(self, demo: DemoState) -> None:
        """Shows nothing."""


def _row(row: ProviderRow) -> str:
    share = f"{row.share:.0%}" if row.state == "closed" else row.state_text
    return f"{row.provider} {share}, {row.failed_attempts} failed"
