"""The tables in the docs about providers match the code."""

from __future__ import annotations

import re
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from multirouter.providers.anthropic.field_support import FIELDS as ANTHROPIC
from multirouter.providers.field_support import Fields
from multirouter.providers.gemini.field_support import FIELDS as GEMINI
from multirouter.providers.openai.responses.field_support import FIELDS as RESPONSES

from .docs_tables import DOCS, TABLES, shown


@pytest.mark.parametrize("table", TABLES)
def test_tables_match_the_code(table: str) -> None:
    """`python -m tests.providers.docs_tables` would change nothing."""
    _, made = TABLES[table]
    assert shown(table) == made()


@pytest.mark.parametrize(
    "fields", [ANTHROPIC, GEMINI, RESPONSES], ids=["anthropic", "gemini", "responses"]
)
def test_every_openai_field_has_a_row(fields: Fields) -> None:
    """No field of the official SDK's request is missing, and all tables have the same rows."""
    known: dict[str, Any] = CompletionCreateParamsBase.__annotations__
    assert set(known) - set(fields) == set()
    assert list(fields) == sorted(ANTHROPIC)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_sdk_examples_run() -> None:
    """The examples run with the real clock; Google's SDK emits warnings about itself."""
    text = (DOCS / "providers.md").read_text(encoding="utf-8")
    section = text.partition("## An SDK as a provider")[2]
    section = section.partition("\n## ")[0]
    codes = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert "AsyncAnthropic" in codes[0]
    assert "stream=True" in codes[1]
    for code in codes:
        exec(compile(code, "docs/reference/providers.md", "exec"), {})
