"""What a conversation holds, in any format: results of tools, images and documents, texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_RESULT_TYPES = frozenset({"tool_result", "function_call_output", "custom_tool_call_output"})
_MIME_NAMES = ("media_type", "mimeType", "mime_type")


def tool_results(body: Any) -> list[str]:
    """The text of each result of a tool in a request, in order."""
    return [" ".join(texts(found)) for found in _found(body, _result_of)]


def media_in(body: Any) -> list[str]:
    """The base64 of each image and document in a request, in order."""
    return list(_found(body, _media_of))


def texts(value: Any) -> Iterator[str]:
    """Every text in content: a string, or parts of any format."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, Mapping):
        for name in ("text", "content", "output", "result", "parts", "response", "error"):
            if name in value:
                yield from texts(value[name])


def _found(value: Any, find: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        found = find(value)
        if found is not None:
            yield found
            if find is _result_of:
                return
        for inner in value.values():
            yield from _found(inner, find)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(inner, find)


def _result_of(item: Mapping[str, Any]) -> Any:
    if item.get("role") == "tool" or str(item.get("type")) in _RESULT_TYPES:
        return item.get("content", item.get("output", ""))
    response = item.get("functionResponse") or item.get("function_response")
    return response.get("response") if isinstance(response, Mapping) else None


def _media_of(item: Mapping[str, Any]) -> str | None:
    data = item.get("data")
    if isinstance(data, str) and any(name in item for name in _MIME_NAMES):
        return data
    for name in ("url", "image_url", "file_data"):
        url = item.get(name)
        if isinstance(url, str) and url.startswith("data:"):
            return url.partition(",")[2]
    return None
