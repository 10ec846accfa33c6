"""Flattens content that comes as a list of parts to text and reasoning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def flatten(message: dict[str, Any]) -> None:
    """Replaces a list of parts in `content` by its text, and adds `reasoning_content`.

    Mistral's thinking models answer with lists; clients join the pieces of `content` as strings.

    Args:
        message: a message or a delta whose content is a list; changed in place.

    Source: Mistral's API reference, Chat Completion, ContentChunk: TextChunk, ThinkChunk.
    """
    parts = [part for part in message["content"] if isinstance(part, dict)]
    message["content"] = _joined(part for part in parts if part.get("type") == "text") or None
    thinking = [part["thinking"] for part in parts if isinstance(part.get("thinking"), list)]
    reasoning = "".join(
        _joined(part for part in inner if isinstance(part, dict)) for inner in thinking
    )
    if reasoning:
        message["reasoning_content"] = reasoning


def _joined(parts: Iterable[dict[str, Any]]) -> str:
    return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))
