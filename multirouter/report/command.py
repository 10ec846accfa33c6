"""The command `multirouter report`: which file, which span, in which form."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from multirouter.report.model import Report

SUMMARY: str = "what a history file says: failures caught, latency, circuits, cost"
DESCRIPTION: str = """\
Reads the file that a router keeps with `history=` and tells what became of its calls: what
failover caught, what callers saw, how long answers took with it and would have taken without,
when circuits were open, what it all cost. The file is only read, a router may be writing it."""
EPILOG: str = """\
examples:
  multirouter report history.db
  multirouter report --since 24h --format html history.db > report.html

exit status: 0, or 2 when the file cannot be read."""

UNITS = {"m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
FORMATS = ("table", "json", "html")


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of `multirouter report`."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the history")
    parser.add_argument(
        "--since",
        type=span,
        default="7d",
        metavar="SPAN",
        help="how far back: 30m, 24h, 7d, 4w (%(default)s); compared with as long a time before",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="table", help="%(choices)s (%(default)s)"
    )
    parser.add_argument(
        "--router", metavar="NAME", help="of this router alone, where a file holds several"
    )


def run(arguments: Namespace) -> int:
    """Writes the report to standard output and returns the exit status.

    Raises:
        ConfigurationError: the file is no history.
        OSError: it cannot be read.
    """
    report = _read(arguments)
    sys.stdout.write(_told(report, arguments.format))
    sys.stdout.flush()
    return 0


def span(text: str) -> float:
    """The seconds that a span such as `7d` means.

    Raises:
        ArgumentTypeError: it means none.
    """
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)([mhdw])", text)
    if found is None or not float(found[1]):
        raise ArgumentTypeError(f"{text!r} is no span: write 30m, 24h, 7d or 4w")
    return float(found[1]) * UNITS[found[2]]


def as_data(report: Report) -> dict[str, Any]:
    """The report as plain data for JSON, which knows no infinity: `"none"` stands for it."""
    data: dict[str, Any] = _without_infinity(asdict(report))
    return data


def _read(arguments: Namespace) -> Report:
    import sqlite3

    from multirouter.listeners.history.file import open_to_read
    from multirouter.report.read_history import read

    file: Path = arguments.file
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    until = time.time()
    try:
        connection = open_to_read(file)
        try:
            # No row is older than the clock that it is dated by, which begins in 1970.
            since = max(0.0, until - arguments.since)
            return read(connection, since, until, router=arguments.router)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ConfigurationError(str(file), f"cannot be read: {error}") from error


def _told(report: Report, form: str) -> str:
    if form == "json":
        return json.dumps(as_data(report), indent=2, allow_nan=False) + "\n"
    if form == "html":
        from multirouter.report.page import as_page

        return as_page(report)
    from multirouter.report.text import as_text

    return as_text(report) + "\n"


def _without_infinity(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_infinity(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_without_infinity(value) for value in data]
    return "none" if data == math.inf else data
