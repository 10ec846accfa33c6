"""Renders a report as plain text, for a terminal, a mail or a log."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from multirouter.report import number_format as fmt
from multirouter.report.model import Report
from multirouter.report.tables import ReportTable, Row, tables

WIDTH = 80
"""Columns of notes below a table."""


def render_text(report: Report) -> str:
    """Returns the report as text, at most 100 columns wide unless names are long."""
    title = f"{fmt.timestamp(report.since)} to {fmt.timestamp(report.until)} UTC"
    return "\n\n".join([title, *map(_table, tables(report))])


def _table(table: ReportTable) -> str:
    lines = [table.title.upper()] if table.title else []
    if not table.rows:
        return "\n".join([*lines, table.empty])
    lines += _aligned([table.header, *table.rows], table.text_columns)
    return "\n".join([*lines, *textwrap.wrap(table.note, WIDTH)])


def _aligned(rows: list[Row], text_columns: int) -> Iterable[str]:
    """Rows with aligned columns: text to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if number < text_columns else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
