"""The command `multirouter demo`: its options, its view, its exit status."""

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

SUMMARY: str = "three HTTP providers, an outage, and nobody notices"
DESCRIPTION: str = """\
Starts three HTTP providers on loopback and routes a few thousand calls over them, while the
heaviest of them goes down and comes back. Shows shares, circuits and latencies as it goes, and
serves the metrics that Prometheus would scrape. Nothing leaves this machine.

Ctrl-C ends it early, with the summary so far."""
EPILOG: str = """\
exit status: 0 when every call was answered, 1 when a caller saw an error, 130 after Ctrl-C."""

HINT = "For a live table: pip install 'multirouter[cli]'"
INTERRUPTED = 130
"""What shells expect of a program that was ended by Ctrl-C: 128 + SIGINT."""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of `multirouter demo`."""
    default = Scenario()
    option = parser.add_argument
    option(
        "--calls", type=int, default=default.calls, metavar="N", help="calls to make (%(default)s)"
    )
    option(
        "--concurrency",
        type=int,
        default=default.concurrency,
        metavar="N",
        help="calls at a time, up to 200 (%(default)s)",
    )
    option(
        "--outage",
        type=float,
        default=default.outage,
        metavar="SECONDS",
        help="how long the heaviest provider is down; 0 for no outage (%(default)g)",
    )
    option(
        "--seed",
        type=int,
        default=default.seed,
        metavar="N",
        help="of choices, latencies and faults; the clock stays real (%(default)s)",
    )
    option(
        "--metrics-port",
        type=int,
        default=default.metrics_port,
        metavar="PORT",
        help="where /metrics is served; 0 takes a free port (%(default)s)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--plain", action="store_true", help="plain lines, on a terminal too")
    how.add_argument("--json", action="store_true", help="the summary as JSON and nothing else")


def run(arguments: Namespace) -> int:
    """Plays the demo and returns the exit status.

    Raises:
        ConfigurationError: an option is out of its range, or the metrics port is taken.
    """
    scenario = Scenario(
        calls=arguments.calls,
        concurrency=arguments.concurrency,
        seed=arguments.seed,
        outage=arguments.outage,
        metrics_port=arguments.metrics_port,
    )
    summary = _played(scenario, arguments)
    told = json.dumps(summary.as_data(), indent=2) if arguments.json else f"\n{summary.as_text()}"
    sys.stdout.write(told + "\n")
    sys.stdout.flush()
    return INTERRUPTED if summary.interrupted else int(summary.errors > 0)


def _played(scenario: Scenario, arguments: Namespace) -> Summary:
    from multirouter.demo.run import play

    with _view(arguments) as view:
        return asyncio.run(play(scenario, view))


def _view(arguments: Namespace) -> AbstractContextManager[View]:
    """What suits where the output goes; with `--json`, standard output is for the machine alone."""
    from multirouter.demo.plain_view import Lines, Silence

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
    return nullcontext(Silence() if arguments.json and not out.isatty() else Lines(out))
