"""Google's Schema, a dialect of OpenAPI's, as JSON Schema.

Source: the message `Schema` of the Gemini API: types in capitals, `nullable`, and counts as
strings, as JSON of Protocol Buffers has 64-bit numbers.
"""

from __future__ import annotations

from typing import Any

from multirouter.gateway.formats.gemini.fields import camel, wrong

_COUNTS = frozenset(
    {"maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties"}
)
_LOST = frozenset({"example", "propertyOrdering", "nullable"})
_LISTS = frozenset({"anyOf", "enum", "required"})
_DEEPEST = 64


def json_schema(schema: Any, where: str, depth: int = 0) -> dict[str, Any]:
    """The same in JSON Schema; keywords that are the same in both pass.

    Args:
        schema: Google's Schema.
        where: its path in the request, for errors.
        depth: how deep in another one it is.

    Raises:
        Refusal: 400, when it is none, or is nested deeper than 64.
    """
    if not isinstance(schema, dict) or depth > _DEEPEST:
        raise wrong(where, "must be a schema")
    made: dict[str, Any] = {}
    for given, value in schema.items():
        name = camel(given)
        if value is not None and name not in _LOST:
            made[name] = _value(name, value, f"{where}.{name}", depth + 1)
    return _or_null(made) if schema.get("nullable") else made


def _value(name: str, value: Any, where: str, depth: int) -> Any:
    if name == "properties" and isinstance(value, dict):
        return {key: json_schema(inner, f"{where}.{key}", depth) for key, inner in value.items()}
    if name == "items":
        return json_schema(value, where, depth)
    if name in _LISTS and not isinstance(value, list):
        raise wrong(where, "must be a list")
    if name == "anyOf":
        return [json_schema(inner, where, depth) for inner in value]
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name in _COUNTS and isinstance(value, str) and value.isdecimal():
        return int(value)
    return value


def _or_null(made: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in made:
        return {**made, "anyOf": [*made["anyOf"], {"type": "null"}]}
    if "enum" in made:
        made["enum"] = [*made["enum"], None]
    return {**made, "type": [made["type"], "null"]} if "type" in made else made
