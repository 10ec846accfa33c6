"""docs/reference/settings.md shows the defaults that the policies have."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from multirouter import RetryPolicy

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "settings.md").read_text(
    encoding="utf-8"
)


def test_the_defaults_are_those_of_the_code() -> None:
    """The table has every setting of RetryPolicy, with what it is when left out."""
    left_out = RetryPolicy()
    rows = [f"| `{f.name}` | {getattr(left_out, f.name)} |" for f in fields(left_out)]
    table = re.search(r"<!-- defaults -->\n(.*?)<!-- end of defaults -->", PAGE, re.DOTALL)
    assert table is not None
    assert table[1].splitlines() == ["| setting | default |", "|---|---|", *rows]
