"""Model entries and lists in the formats of OpenAI, Anthropic and Gemini."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from multirouter.gateway.http.wire_format import WireFormat

_GEMINI_METHODS = ["generateContent", "streamGenerateContent"]


def model_entry(name: str, wire_format: WireFormat, created: int) -> dict[str, Any]:
    """One model.

    Args:
        name: the model's name for clients.
        wire_format: the format of the client.
        created: when the gateway started, seconds since 1970.
    """
    if wire_format.name == "gemini":
        return {
            "name": f"models/{name}",
            "baseModelId": name,
            "version": "1",
            "displayName": name,
            "supportedGenerationMethods": _GEMINI_METHODS,
        }
    if wire_format.name == "anthropic":
        time = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"type": "model", "id": name, "display_name": name, "created_at": time}
    return {"id": name, "object": "model", "created": created, "owned_by": "multirouter"}


def model_list(names: Iterable[str], wire_format: WireFormat, created: int) -> dict[str, Any]:
    """All models, on one page; see `model_entry`."""
    models = [model_entry(name, wire_format, created) for name in names]
    if wire_format.name == "gemini":
        return {"models": models}
    if wire_format.name == "anthropic":
        ids = [model["id"] for model in models] or [None]
        return {"data": models, "has_more": False, "first_id": ids[0], "last_id": ids[-1]}
    return {"object": "list", "data": models}
