"""Adapts a JSON Schema to the subset that Anthropic's structured output accepts.

Objects must not allow other properties, and constraints on numbers, texts and lists are not
supported: they become part of the description, so that the model still reads them.

Source: "Structured outputs", JSON Schema limitations, in Anthropic's documentation; the SDK's
`transform_schema` does the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_CONSTRAINTS = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "patternProperties",
    }
)
_NAMED = frozenset({"properties", "$defs", "definitions"})
"""Keywords whose value has a schema for each name."""

_LISTS = frozenset({"anyOf", "allOf", "oneOf"})
_MAX_DEPTH = 64


def adapted_schema(schema: Any, depth: int = 0) -> Any:
    """The schema in the accepted subset; anything but an object is returned as it is."""
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return schema
    adapted: dict[str, Any] = {}
    moved: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _CONSTRAINTS or (key == "minItems" and value not in {0, 1}):
            moved[key] = value
        else:
            adapted[key] = _value(key, value, depth + 1)
    if "properties" in schema or schema.get("type") == "object":
        adapted["additionalProperties"] = False
    if moved:
        constraints = json.dumps(moved, ensure_ascii=False)
        adapted["description"] = f"{schema.get('description') or ''} {constraints}".strip()
    return adapted


def _value(key: str, value: Any, depth: int) -> Any:
    if key in _NAMED and isinstance(value, Mapping):
        return {name: adapted_schema(inner, depth) for name, inner in value.items()}
    if key in _LISTS and isinstance(value, list):
        return [adapted_schema(inner, depth) for inner in value]
    return adapted_schema(value, depth) if key == "items" else value
