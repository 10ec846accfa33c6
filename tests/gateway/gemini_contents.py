"""Contents and tools of Gemini requests."""

from __future__ import annotations

from typing import Any

WEATHER = {
    "name": "weather",
    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}},
}
TOOLS = [{"functionDeclarations": [WEATHER]}]


def user(*parts: Any) -> dict[str, Any]:
    """A turn of the user; strings become text parts."""
    return {"role": "user", "parts": [{"text": p} if isinstance(p, str) else p for p in parts]}


def model(*parts: Any) -> dict[str, Any]:
    """A turn of the model."""
    return {**user(*parts), "role": "model"}
