"""Content that comes as a list of parts, as text and thoughts, which is how clients read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def flatten(said: dict[str, Any]) -> None:
    """Makes text of a message's content, or a delta's, and puts what was thought beside it.

    Models of Mistral that think answer so; clients join the pieces of `content` as strings.

    Args:
        said: a message or a delta whose content is a list.

    Source: Mistral's API reference, Chat Completion, ContentChunk: TextChunk, ThinkChunk.
    """
    parts = [part for part in said["content"] if isinstance(part, dict)]
    said["content"] = _texts(part for part in parts if part.get("type") == "text") or None
    thoughts = [part["thinking"] for part in parts if isinstance(part.get("thinking"), list)]
    thought = "".join(
        _texts(part for part in inner if isinstance(part, dict)) for inner in thoughts
    )
    if thought:
        said["reasoning_content"] = thought


def _texts(parts: Iterable[dict[str, Any]]) -> str:
    return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))
