"""Models as each format lists them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from multirouter.gateway.shapes import Shape

_METHODS = ["generateContent", "streamGenerateContent"]


def listed(name: str, shape: Shape, began: int) -> dict[str, Any]:
    """One model.

    Args:
        name: what clients ask for.
        shape: the format of whoever asks.
        began: when the gateway began, seconds since 1970.
    """
    if shape.name == "gemini":
        return {
            "name": f"models/{name}",
            "baseModelId": name,
            "version": "1",
            "displayName": name,
            "supportedGenerationMethods": _METHODS,
        }
    return {"id": name, "object": "model", "created": began, "owned_by": "multirouter"}


def list_of(names: Iterable[str], shape: Shape, began: int) -> dict[str, Any]:
    """All models, on one page."""
    models = [listed(name, shape, began) for name in names]
    return {"models": models} if shape.name == "gemini" else {"object": "list", "data": models}
