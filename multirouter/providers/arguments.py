"""Arguments of a tool call: a JSON string in OpenAI's format, an object in the others."""

from __future__ import annotations

import json
from typing import Any

from multirouter.providers.json_bytes import dumps


def arguments_object(arguments: Any) -> dict[str, Any]:
    """Returns arguments as an object.

    Args:
        arguments: an object, or a JSON text. A text that is not a JSON object is kept as
            `{"arguments": ...}`: its value, or the text itself when it is not JSON.
    """
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
    """Returns arguments as a JSON text; `{}` when there are none."""
    return dumps(arguments or {}).decode()
