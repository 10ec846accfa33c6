"""The JSON Schema of the configuration, for editors; made from the document's classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("schema.json")
"""The schema as it is shipped."""

REFERENCE = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"

_SCALARS = frozenset({"integer", "number", "boolean"})


def make_schema() -> dict[str, Any]:
    """The schema: wherever a number or a switch may stand, a reference may stand too."""
    from multirouter.config.document import Document

    made: dict[str, Any] = _with_references(Document.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def schema_text() -> str:
    """The schema as the text of a file."""
    return json.dumps(make_schema(), indent=2) + "\n"


def _with_references(shape: Any) -> Any:
    if isinstance(shape, list):
        return [_with_references(inner) for inner in shape]
    if not isinstance(shape, dict):
        return shape
    made = {name: _with_references(inner) for name, inner in shape.items()}
    if made.get("type") not in _SCALARS:
        return made
    about = {name: made.pop(name) for name in ("description", "default", "title") if name in made}
    return {**about, "anyOf": [made, {"type": "string", "pattern": f"^{REFERENCE}$"}]}
