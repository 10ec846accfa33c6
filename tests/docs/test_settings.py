"""The tables of defaults in docs/reference show what the policies have."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from multirouter import HealthPolicy, RetryPolicy

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def table_of(page: str) -> list[str]:
    """The lines of the table of defaults on a page."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    table = re.search(r"<!-- defaults -->\n(.*?)<!-- end of defaults -->", text, re.DOTALL)
    assert table is not None
    return table[1].splitlines()


def test_the_defaults_are_those_of_the_code() -> None:
    """The table has every setting of RetryPolicy, with what it is when left out."""
    left_out = RetryPolicy()
    rows = [f"| `{f.name}` | {getattr(left_out, f.name)} |" for f in fields(left_out)]
    assert table_of("settings.md") == ["| setting | default |", "|---|---|", *rows]


def test_the_health_table_has_the_defaults() -> None:
    """The table has every setting of HealthPolicy, with its default."""
    left_out = HealthPolicy()
    rows = [f"| `{f.name}` | {getattr(left_out, f.name):g} |" for f in fields(left_out)]
    found = [row.rsplit("|", 2)[0] + "|" for row in table_of("strategies.md")[2:]]
    assert found == rows
