"""The views of the demo: plain lines for everything, a live table for terminals."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from multirouter.demo.live_view import LiveTable
from multirouter.demo.plain_view import Lines, Silence
from multirouter.demo.run import play
from multirouter.demo.scenario import Scenario

pytestmark = pytest.mark.backends("asyncio")

SCENARIO = Scenario(calls=200, concurrency=10, outage=3.0)


async def test_plain_lines_tell_it_all():
    """Lines name the endpoint first, then progress by the second, and each event once."""
    out = io.StringIO()
    summary = await play(SCENARIO, Lines(out))
    lines = out.getvalue().splitlines()
    assert lines[0] == "Three HTTP providers on loopback, 200 calls, 10 at a time."
    assert lines[1] == f"Metrics while this runs: {summary.metrics_url}"
    assert "200/200 calls, errors 0" in lines[-1]
    assert [line[3:] for line in lines if line.startswith("**")] == [
        str(moment) for moment in summary.tally.history
    ]
    assert any(re.search(r"alpha open, \d\.\d s, failed \d", line) for line in lines)
    assert max(map(len, lines)) < 120
    assert out.getvalue().isascii()


async def test_silence_says_nothing(capfd):
    """Where only the end is asked for, nothing is written before it."""
    await play(Scenario(calls=20, outage=0), Silence())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("width", [80, 130])
async def test_the_live_table_fits_its_terminal(width):
    """On 80 columns as on 130 every column is whole, no line is cut, and bars fill the room."""
    console = Console(file=io.StringIO(), width=width, record=True, force_terminal=True)
    with LiveTable(console) as view:
        await play(SCENARIO, view)
    drawn = console.export_text()
    names = ("provider", "circuit", "share", "in flight", "answered", "p50", "p99", "errors")
    [headings, *_] = [line for line in drawn.splitlines() if line.startswith("provider")]
    assert [name for name in names if name not in headings] == []
    rows = [line for line in drawn.splitlines() if re.match("alpha|beta|gamma", line)]
    assert len({len(row) for row in rows}) == 1
    assert width // 2 < len(rows[0]) <= width
    assert "…" not in drawn
    assert "200/200 calls" in drawn
    assert "errors seen by the caller: 0" in drawn


async def test_the_live_table_shows_the_latest_events():
    """Events stand under the table while it runs, and leave it at the end for the summary."""
    console = Console(file=io.StringIO(), width=100, record=True, force_terminal=True)
    with LiveTable(console) as view:
        summary = await play(SCENARIO, view)
        during = console.export_text()
    at_the_end = console.export_text()
    assert "nothing has happened yet" in during
    assert all(str(moment) in during for moment in summary.tally.history)
    assert "goes down" not in at_the_end


async def test_a_drawing_ends_with_an_empty_line():
    """The cursor rests where the terminal's own ^C has room: else it would shift what follows."""
    console = Console(file=io.StringIO(), width=100, record=True, force_terminal=True)
    with LiveTable(console) as view:
        await play(Scenario(calls=5, outage=0), view)
        assert console.export_text().endswith("nothing has happened yet\n")


async def test_a_live_table_that_showed_nothing_leaves_nothing():
    """Ended before the first look, as with a taken port, it leaves no half-drawn table."""
    console = Console(file=io.StringIO(), width=100, record=True)
    with LiveTable(console):
        pass
    assert console.export_text().strip() == ""
