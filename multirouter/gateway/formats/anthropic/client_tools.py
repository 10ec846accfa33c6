"""Tools of Anthropic's that the client runs: their schemas, which its models know by themselves.

Source: "Bash tool", "Text editor tool" and "Memory tool" in Anthropic's documentation, as of
2026-11. The names carry a date (`bash_20250124`), so they are matched without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_DATE = re.compile(r"_\d{8}$")
_PATH = {"type": "string", "description": "Absolute path."}
_TEXT = {"type": "string"}
_LINES = {"type": "array", "items": {"type": "integer"}, "description": "First and last line."}
_EDITS = {
    "path": _PATH,
    "file_text": _TEXT,
    "old_str": _TEXT,
    "new_str": _TEXT,
    "insert_line": {"type": "integer"},
    "insert_text": _TEXT,
    "view_range": _LINES,
}


def _commands(*names: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(names)}


_TOOLS: Mapping[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "bash": (
        "Runs a command in a persistent bash session.",
        {"command": _TEXT, "restart": {"type": "boolean"}},
        (),
    ),
    "text_editor": (
        "Views, creates and edits text files.",
        {"command": _commands("view", "create", "str_replace", "insert"), **_EDITS},
        ("command", "path"),
    ),
    "memory": (
        "Views, creates, edits and deletes files of a memory directory.",
        {
            "command": _commands("view", "create", "str_replace", "insert", "delete", "rename"),
            **_EDITS,
            "old_path": _PATH,
            "new_path": _PATH,
        },
        ("command",),
    ),
}


def function_of(tool: Mapping[str, Any]) -> dict[str, Any] | None:
    """The function for a tool that the client runs; None for any other tool.

    Args:
        tool: a tool with a type of Anthropic's and without a schema.
    """
    known = _TOOLS.get(_DATE.sub("", str(tool.get("type"))))
    if known is None or not isinstance(tool.get("name"), str):
        return None
    description, properties, required = known
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"name": tool["name"], "description": description, "parameters": parameters}
