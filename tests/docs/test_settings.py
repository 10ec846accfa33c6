"""docs/settings.md shows the defaults that the policies have."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from multirouter import HedgePolicy, LimitPolicy, PacePolicy, RetryPolicy

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("policy", [RetryPolicy, LimitPolicy, HedgePolicy, PacePolicy])
def test_the_defaults_are_those_of_the_code(policy: type) -> None:
    """Each table of the page has every setting of its policy, with what it is when left out."""
    left_out = policy()
    rows = [f"| `{f.name}` | {getattr(left_out, f.name)} |" for f in fields(policy)]
    table = re.search(
        rf"<!-- defaults: {policy.__name__} -->\n(.*?)<!-- end of defaults -->", PAGE, re.DOTALL
    )
    assert table is not None
    assert table[1].splitlines() == ["| setting | default |", "|---|---|", *rows]
