"""View of the demo as a live table on a terminal, rendered by rich."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from multirouter.demo.provider_rows import ProviderRow, milliseconds, provider_rows
from multirouter.demo.run import DemoState

STYLES = {"closed": "green", "open": "bold red", "half_open": "yellow"}
MAX_EVENTS = 8
"""Number of latest events below the table."""

WIDE, NARROW, WIDE_FROM = 24, 8, 100
"""Widths of the bars, and the minimum width of a terminal for wide bars, in characters."""


class LiveTable:
    """Redraws the table several times per second: `with LiveTable(console) as view:`.

    Args:
        console: the terminal.

    Attributes:
        every: seconds between two updates.
    """

    every: float = 0.125

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._bar_width = WIDE if console.width >= WIDE_FROM else NARROW
        self._without_events: Group | None = None
        self._progress = Progress(
            BarColumn(bar_width=40, complete_style="blue"),
            MofNCompleteColumn(),
            TextColumn("calls"),
            TimeRemainingColumn(),
            TextColumn("left"),
            auto_refresh=False,
        )
        self._task = self._progress.add_task("calls")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._without_events is not None:
            self._live.update(
                self._without_events, refresh=True
            )  # the summary lists the events again
        self._live.stop()

    def show(self, demo: DemoState) -> None:
        """Draws the current state."""
        done, total = demo.counters.calls, demo.scenario.calls
        self._progress.update(self._task, completed=done, total=total)
        table = Padding(_table(demo, self._bar_width), (1, 0))
        self._without_events = Group(_heading(demo), table, self._progress, _errors(demo))
        # Ends with an empty line, so that the terminal's own ^C does not shift the table.
        frame = Group(self._without_events, "", _latest_events(demo), "")
        self._live.update(frame, refresh=True)


def _heading(demo: DemoState) -> Text:
    text = Text.assemble(
        ("multirouter demo", "bold"),
        f"  {demo.scenario.concurrency} concurrent calls, three HTTP providers on loopback\n",
        ("metrics during the run: ", "dim"),
        demo.metrics.url,
    )
    text.no_wrap = True
    return text


def _table(demo: DemoState, bar_width: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("provider", style="bold", min_width=8)
    table.add_column("circuit", min_width=13)
    table.add_column("share of\nnew calls", min_width=bar_width + 5)
    for name in ("running\nnow", "calls\nanswered", "median\ntime", "slowest\n1 in 100"):
        table.add_column(name, justify="right", min_width=6)
    table.add_column("failed\nattempts", justify="right", min_width=6)
    for row in provider_rows(demo.router, demo.counters):
        table.add_row(
            row.provider,
            Text(row.state_text, STYLES[row.state]),
            _share(row, bar_width),
            str(row.in_flight),
            str(row.answered),
            milliseconds(row.p50),
            milliseconds(row.p99),
            Text(str(row.failed_attempts), "red" if row.failed_attempts else "dim"),
        )
    return table


def _share(row: ProviderRow, bar_width: int) -> Table:
    cell = Table.grid(padding=(0, 1))
    style = STYLES["closed"]
    bar = ProgressBar(1.0, row.share, width=bar_width, complete_style=style, finished_style=style)
    cell.add_row(bar, f"{row.share:4.0%}")
    return cell


def _errors(demo: DemoState) -> Text:
    errors, failures = demo.counters.errors.total(), demo.counters.failures.total()
    return Text.assemble(
        "errors seen by callers: ",
        (str(errors), "bold red" if errors else "bold green"),
        f"   failed attempts: {failures}",
    )


def _latest_events(demo: DemoState) -> Text:
    latest = demo.counters.events[-MAX_EVENTS:]
    return Text("\n".join(map(str, latest)) or "no events yet", "dim")
