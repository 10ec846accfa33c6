"""Models as each format lists them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from multirouter.gateway.http.error_bodies import Shape

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
    if shape.name == "anthropic":
        created = datetime.fromtimestamp(began, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"type": "model", "id": name, "display_name": name, "created_at": created}
    return {"id": name, "object": "model", "created": began, "owned_by": "multirouter"}


def list_of(names: Iterable[str], shape: Shape, began: int) -> dict[str, Any]:
    """All models, on one page."""
    models = [listed(name, shape, began) for name in names]
    if shape.name == "gemini":
        return {"models": models}
    if shape.name == "anthropic":
        ids = [model["id"] for model in models] or [None]
        return {"data": models, "has_more": False, "first_id": ids[0], "last_id": ids[-1]}
    return {"object": "list", "data": models}
