"""Answers held against a JSON Schema: `accept=` with a schema in the place of a function."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from multirouter.errors import ConfigurationError

LONGEST = 160
"""Characters of what is wrong that the trail tells."""


def json_schema(schema: Mapping[str, Any]) -> Callable[[Any], object]:
    """A judge of answers: their content must be JSON that meets the schema.

    The content is the text of an answer in the shape of OpenAI, Anthropic or Gemini, or a string;
    data of any other shape is held against the schema as it is. The draft is the one that
    `$schema` names, else 2020-12. References to elsewhere are not fetched.

    Args:
        schema: the JSON Schema, as a mapping.

    Returns:
        A function for `accept=`: True, or a string that says what is wrong and where.

    Raises:
        ConfigurationError: for a schema that is none, or without the extra `schema`.
    """
    try:
        from jsonschema import Draft202012Validator, SchemaError, validators
        from jsonschema.exceptions import best_match
    except ImportError:
        raise ConfigurationError(
            "accept", "is a JSON Schema and needs jsonschema: install multirouter[schema]"
        ) from None
    kind: Any = validators.validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ConfigurationError("accept", f"is no JSON Schema: {error.message}") from None
    validator = kind(schema)

    def meets_schema(answer: Any) -> object:
        content = content_of(answer)
        if isinstance(content, str | bytes):
            try:
                content = json.loads(content)
            except ValueError as error:
                return f"no JSON: {error}"
        wrong = best_match(validator.iter_errors(content))
        return wrong is None or f"{wrong.json_path}: {wrong.message}"[:LONGEST]

    return meets_schema


def content_of(answer: Any) -> Any:
    """What an answer says: the text of the shapes that are known, else the answer itself."""
    if callable(dump := getattr(answer, "model_dump", None)):
        answer = dump()
    if not isinstance(answer, Mapping):
        return answer
    if isinstance(choices := answer.get("choices"), list) and choices:
        return _text((choices[0].get("message") or {}).get("content"))
    if isinstance(candidates := answer.get("candidates"), list) and candidates:
        return _text((candidates[0].get("content") or {}).get("parts"))
    if answer.get("type") == "message" and isinstance(answer.get("content"), list):
        return _text(answer["content"])
    return answer


def _text(content: Any) -> Any:
    """A text as it is, parts of one joined; "" for none."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, Mapping))
    return content or ""
