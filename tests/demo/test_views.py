"""The views of the demo: plain lines and the live table."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from multirouter.demo.live_view import LiveTable
from multirouter.demo.plain_view import LEGEND, NullView, PlainView
from multirouter.demo.run import run_demo
from multirouter.demo.scenario import Scenario

pytestmark = pytest.mark.backends("asyncio")

SCENARIO = Scenario(calls=200, concurrency=10, outage=3.0)


async def test_plain_view():
    """The plain view prints the endpoint, one line per second, and each event once."""
    out = io.StringIO()
    summary = await run_demo(SCENARIO, PlainView(out))
    lines = out.getvalue().splitlines()
    assert lines[0] == "Three HTTP providers on loopback, 200 calls, 10 concurrent."
    assert lines[1] == f"Metrics during the run: {summary.metrics_url}"
    assert lines[2] == LEGEND
    assert "200/200 calls, errors 0" in lines[-1]
    assert [line[3:] for line in lines if line.startswith("**")] == [
        str(event) for event in summary.counters.events
    ]
    assert any(re.search(r"alpha open, \d\.\d s, \d failed", line) for line in lines)
    assert max(map(len, lines)) < 120
    assert out.getvalue().isascii()


async def test_null_view_writes_nothing(capfd):
    """The null view writes nothing."""
    await run_demo(Scenario(calls=20, outage=0), NullView())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("width", [80, 130])
async def test_live_table_fits_the_terminal(width):
    """At 80 and at 130 columns no column or line is cut, and bars use the width."""
    console = Console(file=io.StringIO(), width=width, record=True, force_terminal=True)
    with LiveTable(console) as view:
        await run_demo(SCENARIO, view)
    text = console.export_text()
    lines = text.splitlines()
    upper = ("share of", "running", "calls", "median", "slowest", "failed")
    lower = ("provider", "circuit", "new calls", "now", "answered", "time", "1 in 100", "attempts")
    header = next(number for number, line in enumerate(lines) if line.startswith("provider"))
    assert [name for name in lower if name not in lines[header]] == []
    assert [name for name in upper if name not in lines[header - 1]] == []
    rows = [line for line in lines if re.match("alpha|beta|gamma", line)]
    assert len({len(row) for row in rows}) == 1
    assert width // 2 < len(rows[0]) <= width
    assert "…" not in text
    assert "200/200 calls" in text
    assert "errors seen by callers: 0   failed attempts: " in text


async def test_live_table_shows_the_latest_events():
    """Events are below the table during the run, and removed at the end for the summary."""
    console = Console(file=io.StringIO(), width=100, record=True, force_terminal=True)
    with LiveTable(console) as view:
        summary = await run_demo(SCENARIO, view)
        during = console.export_text()
    at_the_end = console.export_text()
    assert "no events yet" in during
    assert all(str(event) in during for event in summary.counters.events)
    assert "goes down" not in at_the_end


async def test_live_table_ends_with_an_empty_line():
    """The terminal prints ^C on that line, so it does not shift the table."""
    console = Console(file=io.StringIO(), width=100, record=True, force_terminal=True)
    with LiveTable(console) as view:
        await run_demo(Scenario(calls=5, outage=0), view)
        assert console.export_text().endswith("no events yet\n")


async def test_live_table_without_update_is_empty():
    """Closed before the first update, as with a taken port, it leaves nothing on the terminal."""
    console = Console(file=io.StringIO(), width=100, record=True)
    with LiveTable(console):
        pass
    assert console.export_text().strip() == ""
