"""Translates Google's Schema, a dialect of OpenAPI's, to JSON Schema.

Source: the message `Schema` of the Gemini API: types in capitals, `nullable`, and counts as
strings, as JSON of Protocol Buffers has 64-bit numbers.
"""

from __future__ import annotations

from typing import Any

from multirouter.gateway.formats.gemini.fields import camel_case
from multirouter.gateway.http.http_error import invalid_field

_COUNTS = frozenset(
    {"maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties"}
)
_DROPPED = frozenset({"example", "propertyOrdering", "nullable"})
_LISTS = frozenset({"anyOf", "enum", "required"})
_MAX_DEPTH = 64


def json_schema(schema: Any, path: str, depth: int = 0) -> dict[str, Any]:
    """The JSON Schema for a Google Schema; keywords that both share are kept.

    Args:
        schema: Google's Schema.
        path: its path in the request, for errors.
        depth: its depth within the outermost schema.

    Raises:
        HTTPError: 400, if it is not an object, or is nested deeper than 64.
    """
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        raise invalid_field(path, f"must be an object nested at most {_MAX_DEPTH} deep")
    translated: dict[str, Any] = {}
    for key, value in schema.items():
        name = camel_case(key)
        if value is not None and name not in _DROPPED:
            translated[name] = _value(name, value, f"{path}.{name}", depth + 1)
    return _or_null(translated) if schema.get("nullable") else translated


def _value(name: str, value: Any, path: str, depth: int) -> Any:
    if name == "properties" and isinstance(value, dict):
        return {key: json_schema(inner, f"{path}.{key}", depth) for key, inner in value.items()}
    if name == "items":
        return json_schema(value, path, depth)
    if name in _LISTS and not isinstance(value, list):
        raise invalid_field(path, "must be a list")
    if name == "anyOf":
        return [json_schema(inner, path, depth) for inner in value]
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name in _COUNTS and isinstance(value, str) and value.isdecimal():
        return int(value)
    return value


def _or_null(translated: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in translated:
        return {**translated, "anyOf": [*translated["anyOf"], {"type": "null"}]}
    if "enum" in translated:
        translated["enum"] = [*translated["enum"], None]
    if "type" in translated:
        return {**translated, "type": [translated["type"], "null"]}
    return translated
