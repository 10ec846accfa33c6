"""JSON Schema of the configuration, for editors; generated from the document's classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("schema.json")
"""The schema file of the package."""

REFERENCE = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"

_SCALARS = frozenset({"integer", "number", "boolean"})


def make_schema() -> dict[str, Any]:
    """Returns the schema; numbers and booleans may also be references (`${NAME}`)."""
    from multirouter.config.building.ranges import add_ranges
    from multirouter.config.document import Document

    plain = Document.model_json_schema()
    add_ranges(plain["$defs"])
    schema: dict[str, Any] = _allow_references(plain)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """Returns the schema as the text of the schema file."""
    return json.dumps(make_schema(), indent=2) + "\n"


def _allow_references(shape: Any) -> Any:
    if isinstance(shape, list):
        return [_allow_references(inner) for inner in shape]
    if not isinstance(shape, dict):
        return shape
    copy = {name: _allow_references(inner) for name, inner in shape.items()}
    if copy.get("type") not in _SCALARS:
        return copy
    about = {name: copy.pop(name) for name in ("description", "default", "title") if name in copy}
    return {**about, "anyOf": [copy, {"type": "string", "pattern": f"^{REFERENCE}$"}]}
