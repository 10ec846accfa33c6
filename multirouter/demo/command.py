"""The command `multirouter demo`: options, choice of the view, exit status."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import ArgumentParser, Namespace
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING

from multirouter.demo.scenario import Scenario

if TYPE_CHECKING:
    from multirouter.demo.run import View
    from multirouter.demo.summary import Summary

SUMMARY: str = "run three local providers through an outage, without errors for callers"
DESCRIPTION: str = """\
Starts three HTTP providers on loopback and routes a few thousand calls across them, while the
provider with the highest weight goes down and recovers. Shows shares, circuits and latencies, and
serves Prometheus metrics. No data leaves this machine.

Ctrl-C stops it early and prints the summary so far."""
EPILOG: str = """\
exit status: 0 if every call was answered, 1 if a caller saw an error, 130 after Ctrl-C."""

HINT = "For a live table: pip install 'multirouter[cli]'"
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells expect it: 128 + SIGINT."""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of `multirouter demo`."""
    default = Scenario()
    option = parser.add_argument
    option(
        "--calls",
        type=int,
        default=default.calls,
        metavar="N",
        help="number of calls (%(default)s)",
    )
    option(
        "--concurrency",
        type=int,
        default=default.concurrency,
        metavar="N",
        help="concurrent calls, 1 to 200 (%(default)s)",
    )
    option(
        "--outage",
        type=float,
        default=default.outage,
        metavar="SECONDS",
        help="duration of the outage; 0 for none (%(default)g)",
    )
    option(
        "--seed",
        type=int,
        default=default.seed,
        metavar="N",
        help="seed of choices, latencies and faults (%(default)s)",
    )
    option(
        "--metrics-port",
        type=int,
        default=default.metrics_port,
        metavar="PORT",
        help="port of /metrics; 0 takes a free port (%(default)s)",
    )
    option(
        "--console",
        action="store_true",
        help="open the router's console in the browser; it stays open until Ctrl-C",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--plain", action="store_true", help="print plain lines, even on a terminal")
    how.add_argument("--json", action="store_true", help="print only the summary, as JSON")


def run(arguments: Namespace) -> int:
    """Runs the demo and returns the exit status.

    Raises:
        ConfigurationError: an option is out of range, or the metrics port cannot be opened.
    """
    scenario = Scenario(
        calls=arguments.calls,
        concurrency=arguments.concurrency,
        seed=arguments.seed,
        outage=arguments.outage,
        metrics_port=arguments.metrics_port,
    )
    summary = _run_scenario(scenario, arguments)
    output = json.dumps(summary.as_data(), indent=2) if arguments.json else f"\n{summary.as_text()}"
    sys.stdout.write(output + "\n")
    sys.stdout.flush()
    return INTERRUPTED if summary.interrupted else int(summary.errors > 0)


def _run_scenario(scenario: Scenario, arguments: Namespace) -> Summary:
    from multirouter.demo.run import run_demo

    with _view(arguments) as view:
        open_page = _open_page if arguments.console else None
        return asyncio.run(run_demo(scenario, view, open_page=open_page))


def _open_page(url: str) -> None:
    """Opens the console in the browser, and names its address, which is needed without one."""
    import webbrowser

    sys.stderr.write(f"Console: {url} (until Ctrl-C)\n")
    sys.stderr.flush()
    webbrowser.open(url)


def _view(arguments: Namespace) -> AbstractContextManager[View]:
    """Chooses the view by the output; with `--json` standard output carries only the JSON."""
    from multirouter.demo.plain_view import NullView, PlainView

    out = sys.stderr if arguments.json else sys.stdout
    on_terminal = out.isatty() and not arguments.plain
    if on_terminal and find_spec("rich") is not None:
        from rich.console import Console

        from multirouter.demo.live_view import LiveTable

        console = Console(file=out)
        if not console.is_dumb_terminal:
            return LiveTable(console)
    elif on_terminal:
        out.write(f"{HINT}\n\n")
    return nullcontext(NullView() if arguments.json and not out.isatty() else PlainView(out))
