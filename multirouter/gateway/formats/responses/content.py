"""Translates content parts of the Responses format to canonical parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.gateway.http.http_error import invalid_field, shown
from multirouter.providers.value_types import is_mapping

_FILE_FIELDS = ("file_id", "file_data", "filename", "file_url")


def contents(content: Any, param: str, dropped: list[str]) -> tuple[list[dict[str, Any]], str]:
    """The canonical parts of a content, and the text of its refusals.

    Args:
        content: a text, or a list of parts.
        param: the field, for errors.
        dropped: gets the types of parts without a counterpart.

    Raises:
        HTTPError: 400, for what is neither.
    """
    if isinstance(content, str):
        return ([{"type": "text", "text": content}] if content else []), ""
    if content is None:
        return [], ""
    if not isinstance(content, list):
        raise invalid_field(param, f"must be a string or a list of parts, got {shown(content)}")
    parts: list[dict[str, Any]] = []
    refusal = ""
    for number, part in enumerate(content):
        if not is_mapping(part):
            raise invalid_field(f"{param}[{number}]", f"must be an object, got {shown(part)}")
        if isinstance(part.get("refusal"), str):
            refusal += part["refusal"]
            continue
        translated = _part(part)
        if translated is None:
            dropped.append(str(part.get("type")))
        else:
            parts.append(translated)
    return parts, refusal


def _part(part: Mapping[str, Any]) -> dict[str, Any] | None:
    """The canonical part; None for one without a counterpart."""
    kind = part.get("type")
    translated: dict[str, Any] | None = None
    if kind == "input_image":
        translated = _image(part)
    elif kind == "input_file":
        file = {name: part[name] for name in _FILE_FIELDS if part.get(name)}
        translated = {"type": "file", "file": file}
    elif kind == "input_audio" and is_mapping(part.get("input_audio")):
        translated = {"type": "input_audio", "input_audio": dict(part["input_audio"])}
    elif isinstance(part.get("text"), str):
        translated = {"type": "text", "text": part["text"]}
    if translated is not None and part.get("prompt_cache_breakpoint"):
        translated["prompt_cache_breakpoint"] = part["prompt_cache_breakpoint"]
    return translated


def _image(part: Mapping[str, Any]) -> dict[str, Any]:
    if not part.get("image_url"):
        return {"type": "file", "file": {"file_id": part.get("file_id")}}
    image = {"url": part["image_url"]}
    if part.get("detail"):
        image["detail"] = part["detail"]
    return {"type": "image_url", "image_url": image}
