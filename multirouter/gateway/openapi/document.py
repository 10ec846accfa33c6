"""Makes the OpenAPI document: one operation for each endpoint, with its errors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from multirouter.gateway.openapi.descriptions import Description, described
from multirouter.gateway.openapi.schemas import REF, all_schemas

_PARAMETER = re.compile(r"\{(\w+)\}")
_MEANINGS = {
    400: "The request is invalid, or no provider can express it.",
    401: "The key is missing or invalid.",
    403: "The key gives no access.",
    404: "The model or the path is unknown.",
    405: "Another method.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The encoding of the body is unknown.",
    422: "A provider rejected the request.",
    429: "A limit of the key or of all providers is reached.",
    500: "Internal error of the gateway.",
    502: "All providers failed.",
    503: "No provider is available.",
    504: "No provider answered in time.",
}
_HEADERS = {
    "X-Request-Id": "The id of the request, as it is logged.",
    "X-Provider": "The provider that answered.",
    "X-Model": "The model that answered.",
    "X-Attempts": "The attempts, as JSON.",
    "X-Dropped-Fields": "Fields of the request that the provider was not sent.",
    "X-Cost-Usd": "Cost of the attempts, as far as prices are known.",
}
_SECURITY: list[dict[str, list[str]]] = [
    {},
    {"bearer": []},
    {"x-api-key": []},
    {"x-goog-api-key": []},
]


def openapi_document(endpoints: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Returns the document.

    Args:
        endpoints: method and path of each endpoint.
    """
    paths: dict[str, Any] = {}
    for method, path in endpoints:
        for (verb, named), description in described(method, path).items():
            paths.setdefault(named, {})[verb.lower()] = _operation(verb, named, description)
    return {
        "openapi": "3.1.0",
        "info": {"title": "multirouter", "version": _version()},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": all_schemas(), "securitySchemes": _schemes()},
    }


def _operation(method: str, path: str, description: Description) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": description.summary,
        "operationId": re.sub(r"\W+", "_", f"{method.lower()}{path}").strip("_"),
        "tags": [description.tag],
        "responses": {str(description.success): _answer(description)},
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(path)
    ]
    if parameters:
        operation["parameters"] = parameters
    if description.request:
        operation["requestBody"] = _body(description)
    if description.tag != "monitoring":
        operation["security"] = _SECURITY
    for status in description.errors:
        operation["responses"][str(status)] = _error(status, path)
    return operation


def _body(description: Description) -> dict[str, Any]:
    schema = {"$ref": REF.format(model=description.request)}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if description.form:
        content["multipart/form-data"] = {"schema": {"type": "object"}}
    return {"required": True, "content": content}


def _answer(description: Description) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {} for kind in description.content}
    if description.answer:
        content["application/json"] = {"schema": {"$ref": REF.format(model=description.answer)}}
    answer: dict[str, Any] = {"description": "The answer."}
    if content:
        answer["content"] = content
    if description.request:
        answer["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in _HEADERS.items()
        }
    return answer


def _error(status: int, path: str) -> dict[str, Any]:
    """An error in the format of the endpoint; where clients of all formats come, in any of them."""
    if path == "/readyz":
        names = ["Ready"]
    elif path.startswith("/v1/messages"):
        names = ["AnthropicError"]
    elif "enerateContent" in path:
        names = ["GeminiError"]
    elif "/models" in path:
        names = ["OpenAIError", "AnthropicError", "GeminiError"]
    else:
        names = ["OpenAIError"]
    references = [{"$ref": REF.format(model=name)} for name in names]
    schema = references[0] if len(references) == 1 else {"anyOf": references}
    return {
        "description": _MEANINGS[status],
        "content": {"application/json": {"schema": schema}},
    }


def _schemes() -> dict[str, Any]:
    by_header = {
        name: {"type": "apiKey", "in": "header", "name": name}
        for name in ("x-api-key", "x-goog-api-key")
    }
    return {"bearer": {"type": "http", "scheme": "bearer"}, **by_header}


def _version() -> str:
    try:
        return version("multirouter")
    except PackageNotFoundError:  # a checkout that is not installed
        return "0"
