"""Schemas of the OpenAPI document: requests, answers and errors of each format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.gateway.routing.request_options import MAX_FALLBACKS
from multirouter.providers.canonical import (
    ChatCompletion,
    ChatRequest,
    EmbeddingRequest,
    EmbeddingResponse,
)

REF = "#/components/schemas/{model}"

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_OBJECT = {"type": "object"}
_OBJECTS = {"type": "array", "items": _OBJECT}
_TEXT_OR_NULL = {"type": ["string", "null"]}

GATEWAY_FIELDS: Mapping[str, Any] = {
    "fallback_models": {
        "type": ["array", "null"],
        "items": _TEXT,
        "maxItems": MAX_FALLBACKS,
        "description": "Models that answer when the first one fails, in order.",
    },
    "fallback_conditions": {
        "type": ["object", "null"],
        "properties": {
            "status_codes": {"type": ["array", "null"], "items": {"type": "integer"}},
            "timeout_ms": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1e9},
        },
        "additionalProperties": False,
        "description": "When the next model is tried.",
    },
    "route": {"type": ["string", "null"], "description": "The route that serves the request."},
    "timeout": {
        "type": ["number", "null"],
        "exclusiveMinimum": 0,
        "maximum": 1e9,
        "description": "Seconds for the whole request.",
    },
}
"""Fields of a request for the gateway itself, in each format."""


def _shape(required: str, **properties: Any) -> dict[str, Any]:
    """An object with these properties and any others."""
    shape: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        shape["required"] = required.split()
    return shape


def _request(required: str, **properties: Any) -> dict[str, Any]:
    return _shape(required, **{**properties, **GATEWAY_FIELDS})


_CONTENT = {"anyOf": [_TEXT, _OBJECTS]}
_TURNS = {
    "type": "array",
    "minItems": 1,
    "items": _shape("role content", role={"enum": ["user", "assistant"]}, content=_CONTENT),
}
_CONTENTS = {
    "type": "array",
    "minItems": 1,
    "items": _shape(
        "parts",
        role={"enum": ["user", "model"]},
        parts={"type": "array", "items": {"anyOf": [_shape("text", text=_TEXT), _OBJECT]}},
    ),
}

_BY_HAND: Mapping[str, Any] = {
    "OperationRequest": _request("model", model=_TEXT, stream={"type": ["boolean", "null"]}),
    "OperationAnswer": {**_OBJECT, "description": "The provider's answer, unchanged."},
    "MessagesRequest": _request(
        "model max_tokens messages",
        model=_TEXT,
        max_tokens={"type": "integer", "minimum": 1},
        messages=_TURNS,
        system=_CONTENT,
        stream={"type": ["boolean", "null"]},
        tools=_OBJECTS,
    ),
    "CountTokensRequest": _shape("model messages", model=_TEXT, messages=_TURNS, system=_CONTENT),
    "MessagesAnswer": _shape(
        "id type role content model stop_reason usage",
        id=_TEXT,
        type={"const": "message"},
        role={"const": "assistant"},
        content=_OBJECTS,
        model=_TEXT,
        stop_reason=_TEXT_OR_NULL,
        usage=_shape("input_tokens output_tokens", input_tokens=_COUNT, output_tokens=_COUNT),
    ),
    "Count": _shape("input_tokens", input_tokens=_COUNT),
    "GenerateContentRequest": _shape(
        "contents",
        contents=_CONTENTS,
        systemInstruction=_OBJECT,
        generationConfig=_OBJECT,
        tools=_OBJECTS,
    ),
    "GenerateContentAnswer": _shape("candidates", candidates=_OBJECTS, usageMetadata=_OBJECT),
    "Models": {
        "description": "In the format of the client: OpenAI's, Anthropic's or Gemini's.",
        "anyOf": [_shape("data", data=_OBJECTS), _shape("models", models=_OBJECTS)],
    },
    "Model": {
        "description": "In the format of the client.",
        "anyOf": [_shape("id", id=_TEXT), _shape("name", name=_TEXT)],
    },
    "Alive": _shape("status", status={"const": "ok"}),
    "Ready": _shape(
        "status providers",
        status=_TEXT,
        providers={"type": "object", "additionalProperties": {"type": "boolean"}},
    ),
    "OpenAIError": _shape(
        "error",
        error=_shape(
            "message type param code",
            message=_TEXT,
            type=_TEXT,
            param=_TEXT_OR_NULL,
            code=_TEXT_OR_NULL,
        ),
    ),
    "AnthropicError": _shape(
        "type error request_id",
        type={"const": "error"},
        error=_shape("type message", type=_TEXT, message=_TEXT),
        request_id=_TEXT,
    ),
    "GeminiError": _shape(
        "error",
        error=_shape(
            "code message status",
            code={"type": "integer"},
            message=_TEXT,
            status=_TEXT,
            details=_OBJECTS,
        ),
    ),
}


def all_schemas() -> dict[str, Any]:
    """The schemas by name: those of the package's types, and those of other formats."""
    from pydantic import TypeAdapter

    schemas: dict[str, Any] = {}
    for kind in (ChatRequest, ChatCompletion, EmbeddingRequest, EmbeddingResponse):
        schema = TypeAdapter(kind).json_schema(ref_template=REF)
        schemas.update(schema.pop("$defs", {}))
        schemas[kind.__name__] = schema
    for name in ("ChatRequest", "EmbeddingRequest"):
        shape = schemas[name]
        shape["properties"] = {**shape["properties"], **GATEWAY_FIELDS}
        shape["properties"]["model"] = {"type": "string", "minLength": 1}
        shape["required"] = sorted({"model", *shape["required"]})
    schemas["ChatRequest"]["properties"]["stream"] = {"type": ["boolean", "null"]}
    return {**schemas, **_BY_HAND}
