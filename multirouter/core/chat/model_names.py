"""Model names: which model an answer names, and whether two names mean the same model."""

from __future__ import annotations

import re
from typing import Any

MAX_LENGTH = 200
"""Characters of a model's name that are kept: an answer is untrusted."""

_VERSION = re.compile(r"(?:[-@:](?:\d{4}-\d{2}-\d{2}|\d{2}-\d{2}|\d{3,8}|latest))+$")
"""Versions that services append to the name of a model: a date (`2025-08-07`, `20251001`, `05-20`,
`2506`), a number (`001`) or `latest`.

Source: the lists of models of OpenAI, Anthropic, Gemini, Mistral and Qwen.
"""


def answered_model(answer: Any) -> str | None:
    """The model that a response or a stream chunk names; None when it names none.

    The formats of OpenAI, Anthropic and Gemini are read, as plain data or as SDK objects.
    """
    try:
        if type(answer) is dict:
            name = answer.get("model") or answer.get("modelVersion")
            if name is None:
                inner = answer.get("message") or answer.get("response")
                name = inner.get("model") if type(inner) is dict else None
        else:
            name = getattr(answer, "model", None) or getattr(answer, "model_version", None)
            if name is None:
                # Anthropic's streams begin with a message, Responses streams have a response.
                inner = getattr(answer, "message", None) or getattr(answer, "response", None)
                name = getattr(inner, "model", None)
        return name[:MAX_LENGTH] if isinstance(name, str) and name else None
    except Exception:  # noqa: BLE001 - attributes of a foreign object may raise
        return None


def unversioned(name: str) -> str:
    """A model's name without its version: `gpt-5` for `gpt-5-2025-08-07`."""
    return _VERSION.sub("", name)


def same_model(one: str, other: str) -> bool:
    """Whether two names mean the same model, with or without a version or the name of a vendor."""
    if one == other:
        return True
    one, other = one.rpartition("/")[2], other.rpartition("/")[2]
    return unversioned(one) == unversioned(other)
