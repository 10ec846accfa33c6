"""The demo as a live table on a terminal, drawn by rich."""

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

from multirouter.demo.provider_rows import Standing, milliseconds, standings
from multirouter.demo.run import Stage

STYLES = {"closed": "green", "open": "bold red", "half_open": "yellow"}
NEWS = 8
"""How many of the latest events stand under the table."""

WIDE, NARROW, WIDE_FROM = 24, 8, 100
"""The bars' width in characters, and how wide a terminal must be for the wide ones."""


class LiveTable:
    """Draws the table anew several times a second: `with LiveTable(console) as view:`.

    Args:
        console: the terminal.

    Attributes:
        every: seconds between two drawings.
    """

    every: float = 0.125

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._bar_width = WIDE if console.width >= WIDE_FROM else NARROW
        self._without_news: Group | None = None
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
        if self._without_news is not None:
            self._live.update(self._without_news, refresh=True)  # the summary tells the news again
        self._live.stop()

    def show(self, stage: Stage) -> None:
        """Draws how things stand."""
        done, total = stage.tally.calls, stage.scenario.calls
        self._progress.update(self._task, completed=done, total=total)
        table = Padding(_table(stage, self._bar_width), (1, 0))
        self._without_news = Group(_heading(stage), table, self._progress, _errors(stage))
        # Last an empty line, where a terminal that shows ^C cannot push the drawing out of place.
        drawing = Group(self._without_news, "", _news(stage), "")
        self._live.update(drawing, refresh=True)


def _heading(stage: Stage) -> Text:
    text = Text.assemble(
        ("multirouter demo", "bold"),
        f"  {stage.scenario.concurrency} calls at a time over three HTTP providers on loopback\n",
        ("metrics while this runs: ", "dim"),
        stage.exposition.url,
    )
    text.no_wrap = True
    return text


def _table(stage: Stage, bar_width: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("provider", style="bold", min_width=8)
    table.add_column("circuit", min_width=13)
    table.add_column("share", min_width=bar_width + 5)
    for name in ("in flight", "answered", "p50", "p99", "errors"):
        table.add_column(name, justify="right", min_width=6)
    for row in standings(stage.router, stage.tally):
        table.add_row(
            row.provider,
            Text(row.state_in_words, STYLES[row.state]),
            _share(row, bar_width),
            str(row.in_flight),
            str(row.answered),
            milliseconds(row.p50),
            milliseconds(row.p99),
            Text(str(row.failed), "red" if row.failed else "dim"),
        )
    return table


def _share(row: Standing, bar_width: int) -> Table:
    bar = Table.grid(padding=(0, 1))
    style = STYLES["closed"]
    drawn = ProgressBar(1.0, row.share, width=bar_width, complete_style=style, finished_style=style)
    bar.add_row(drawn, f"{row.share:4.0%}")
    return bar


def _errors(stage: Stage) -> Text:
    errors, caught = stage.tally.errors.total(), stage.tally.caught.total()
    return Text.assemble(
        "errors seen by the caller: ",
        (str(errors), "bold red" if errors else "bold green"),
        f"   failures caught on the way: {caught}",
    )


def _news(stage: Stage) -> Text:
    latest = stage.tally.history[-NEWS:]
    return Text("\n".join(map(str, latest)) or "nothing has happened yet", "dim")
