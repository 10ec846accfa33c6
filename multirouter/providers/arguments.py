"""A tool call's arguments, which OpenAI has as a string and the others as an object."""

from __future__ import annotations

import json
from typing import Any


def arguments_object(arguments: Any) -> dict[str, Any]:
    """Arguments as an object; what a model wrote that is none stays readable in one."""
    if isinstance(arguments, dict):
        return arguments
    if not arguments:
        return {}
    try:
        value = json.loads(arguments)
    except ValueError:
        value = arguments
    return value if isinstance(value, dict) else {"arguments": value}


def arguments_text(arguments: Any) -> str:
    """Arguments as JSON, `{}` when there are none."""
    return json.dumps(arguments or {}, ensure_ascii=False)
