"""The command `multirouter report`."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from multirouter.report.model import Report

SUMMARY: str = "report on a history file: masked failures, latency, circuits, cost"
DESCRIPTION: str = """\
Reads the history file of a router (`history=`) and reports on a period: calls and their outcome,
failures that failover masked, latency with and without failover, open circuits, and cost. The file
is only read; a router may be writing to it."""
EPILOG: str = """\
examples:
  multirouter report history.db
  multirouter report --since 24h --format html history.db > report.html
  multirouter report --baseline gpt-5 history.db

exit status: 0, or 2 if the file cannot be read."""

UNITS = {"m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
FORMATS = ("table", "json", "html")


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options of `multirouter report`."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the history file")
    parser.add_argument(
        "--since",
        type=period,
        default="7d",
        metavar="PERIOD",
        help="length of the period up to now: 30m, 24h, 7d, 4w (default %(default)s); it is "
        "compared with the period before",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="table", help="%(choices)s (default %(default)s)"
    )
    parser.add_argument(
        "--baseline",
        metavar="MODEL",
        help="also show what the calls would have been with this model alone",
    )
    parser.add_argument(
        "--baseline-price",
        metavar="INPUT:OUTPUT",
        help="its price, USD per million tokens, such as 1.25:10 (default: the published one, with "
        "the extra `prices`)",
    )
    parser.add_argument(
        "--router", metavar="NAME", help="report only this router, if the file has several"
    )


def run(arguments: Namespace) -> int:
    """Writes the report to standard output and returns the exit status.

    Raises:
        ConfigurationError: the file is not a history, or has no such router.
        OSError: the file cannot be read.
    """
    report = _with_baseline(_read(arguments), arguments)
    sys.stdout.write(_render(report, arguments.format))
    sys.stdout.flush()
    return 0


def period(text: str) -> float:
    """Parses a period such as `7d` into seconds.

    Raises:
        ArgumentTypeError: the text is not a positive number with one of the units.
    """
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)([mhdw])", text)
    if found is None or not float(found[1]):
        raise ArgumentTypeError(f"must be a period such as 30m, 24h, 7d or 4w, got {text!r}")
    return float(found[1]) * UNITS[found[2]]


def as_json_data(report: Report) -> dict[str, Any]:
    """Returns the report as plain data for JSON; infinity becomes `"no_answer"`."""
    data: dict[str, Any] = _without_infinity(asdict(report))
    return data


def _read(arguments: Namespace) -> Report:
    import sqlite3

    from multirouter.listeners.history.file import open_to_read
    from multirouter.report.reader import read_report, router_names

    file: Path = arguments.file
    if not file.exists():
        raise FileNotFoundError(f"the file {file} does not exist")
    if not file.is_file():
        kind = "folder" if file.is_dir() else "device"
        raise OSError(f"must be a history file, got the {kind} {file}")
    until = time.time()
    try:
        connection = open_to_read(file)
        try:
            names = router_names(connection)
            if arguments.router is not None and arguments.router not in names:
                known = check.suggestion(arguments.router, names)
                raise ConfigurationError("--router", f"unknown router {known}")
            # No row is older than 1970, where the clock of its dates begins.
            since = max(0.0, until - arguments.since)
            return read_report(connection, since, until, router=arguments.router)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ConfigurationError(str(file), f"cannot be read: {error}") from error


def _with_baseline(report: Report, arguments: Namespace) -> Report:
    """The report with the baseline of the reader's choice."""
    from multirouter.published_prices import published_price
    from multirouter.report.baseline import baseline_of, price_from

    model, price = arguments.baseline, arguments.baseline_price
    if price is not None and model is None:
        raise ConfigurationError("--baseline-price", "requires --baseline, the model it is for")
    if model is None:
        return report
    known = published_price(model) if price is None else price_from(price)
    return replace(report, baseline=baseline_of(report, model, known))


def _render(report: Report, form: str) -> str:
    if form == "json":
        return json.dumps(as_json_data(report), indent=2, allow_nan=False) + "\n"
    if form == "html":
        from multirouter.report.page import render_page

        return render_page(report)
    from multirouter.report.text import render_text

    return render_text(report) + "\n"


def _without_infinity(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_infinity(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_without_infinity(value) for value in data]
    return "no_answer" if data == math.inf else data
