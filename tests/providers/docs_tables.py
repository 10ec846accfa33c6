"""Generates the tables of the pages on providers and translation from the code.

Run it with `python -m tests.providers.docs_tables`.
"""

from __future__ import annotations

import re
from pathlib import Path

from multirouter.providers import PRESETS
from multirouter.providers.anthropic.field_support import FIELDS as ANTHROPIC
from multirouter.providers.field_support import Field
from multirouter.providers.gemini.field_support import FIELDS as GEMINI
from multirouter.providers.openai.responses.field_support import FIELDS as RESPONSES
from multirouter.testing.fakes import FAULTS

DOCS = Path(__file__).parents[2] / "docs" / "reference"


def fields_table() -> str:
    """How each field is treated, by format."""
    rows = [
        f"| `{name}` | {_described(ANTHROPIC[name])} | {_described(GEMINI[name])} "
        f"| {_described(RESPONSES[name])} |"
        for name in ANTHROPIC
    ]
    head = "| field | Anthropic | Gemini | OpenAI's Responses |"
    return "\n".join([head, "|---|---|---|---|", *rows])


def presets_table() -> str:
    """The OpenAI-compatible services."""
    rows = [
        f"| `{name}` | `{preset.base_url}` | `{preset.variable}`"
        f"{'' if preset.needs_key else ' (may be missing)'} |"
        for name, preset in PRESETS.items()
    ]
    return "\n".join(["| preset | base URL | key |", "|---|---|---|", *rows])


def faults_table() -> str:
    """The faults of the fake upstream."""
    rows = [f"| `{name}` | {what} |" for name, what in FAULTS.items()]
    return "\n".join(["| fault | what happens |", "|---|---|", *rows])


TABLES = {
    "fields": ("translation.md", fields_table),
    "presets": ("providers.md", presets_table),
    "faults": ("providers.md", faults_table),
}


def shown(table: str) -> str:
    """Returns a table as it is on its page."""
    page, _ = TABLES[table]
    found = re.search(_between(table), (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, f"{page} has no place for the table of {table}"
    return found[2].strip("\n")


def write() -> None:
    """Updates the pages."""
    for table, (page, made) in TABLES.items():
        path = DOCS / page
        text = path.read_text(encoding="utf-8")
        body = made()
        replaced = re.sub(
            _between(table), lambda m, b=body: f"{m[1]}\n{b}\n{m[3]}", text, flags=re.DOTALL
        )
        path.write_text(replaced, encoding="utf-8")


def _between(table: str) -> str:
    return rf"(<!-- table: {table} -->)(.*?)(<!-- end of table -->)"


def _described(field: Field) -> str:
    prefix = {"translated": "", "dropped": "*dropped*: ", "rejected": "**rejected**: "}
    return prefix[field.treatment] + field.note


if __name__ == "__main__":
    write()
