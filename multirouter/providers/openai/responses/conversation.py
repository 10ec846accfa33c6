"""Messages as the input items of OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from multirouter.providers.calls.ids import RESPONSES, valid_id
from multirouter.providers.calls.names import ToolNames
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.openai.responses.reasoning_state import reasoning_item

Item = dict[str, Any]

_ROLES = frozenset({"system", "developer", "user"})


def input_items(
    messages: Iterable[Mapping[str, Any]], errors: ErrorFactory, names: ToolNames
) -> list[Item]:
    """All items, in order.

    Args:
        messages: the messages of a canonical request.
        errors: makes the error for content that this format cannot express.
        names: the names of tools in this format.

    Raises:
        ProviderError: of kind `unsupported`.
    """
    custom: set[str] = set()
    return [item for message in messages for item in _items(message, custom, errors, names)]


def _items(
    message: Mapping[str, Any], custom: set[str], errors: ErrorFactory, names: ToolNames
) -> Iterator[Item]:
    role = message.get("role")
    if role in _ROLES:
        parts = _parts(message.get("content"), "input_text", errors)
        if parts:
            yield {"type": "message", "role": role, "content": parts}
    elif role == "assistant":
        yield from _assistant(message, custom, errors, names)
    elif role == "tool":
        call_id = valid_id(message["tool_call_id"], RESPONSES)
        kind = "custom_tool_call_output" if call_id in custom else "function_call_output"
        content = message.get("content")
        output = content if isinstance(content, str) else _parts(content, "input_text", errors)
        yield {"type": kind, "call_id": call_id, "output": output}
    else:
        raise errors.unsupported(
            "messages.role", f"must be system, developer, user, assistant or tool, got {role!r}"
        )


def _assistant(
    message: Mapping[str, Any], custom: set[str], errors: ErrorFactory, names: ToolNames
) -> Iterator[Item]:
    if message.get("audio"):
        raise errors.unsupported("messages.audio", "audio is not supported")
    for block in message.get("thinking_blocks") or ():
        reasoning = reasoning_item(block)
        if reasoning is not None:
            yield reasoning
    parts = _parts(message.get("content"), "output_text", errors)
    text = "".join(part.get("text") or part.get("refusal") or "" for part in parts)
    text += message.get("refusal") or ""
    if text:
        yield {"type": "message", "role": "assistant", "content": text}
    for call in message.get("tool_calls") or ():
        call_id = valid_id(call["id"], RESPONSES)
        if "custom" in call:
            custom.add(call_id)
            of = call["custom"]
            fields = {"call_id": call_id, "name": names.sent(of["name"]), "input": of["input"]}
            yield {"type": "custom_tool_call", **fields}
        else:
            of = call["function"]
            arguments = of.get("arguments") or "{}"
            fields = {"call_id": call_id, "name": names.sent(of["name"])}
            yield {"type": "function_call", **fields, "arguments": arguments}


def _parts(content: Any, text_type: str, errors: ErrorFactory) -> list[Item]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": text_type, "text": content}]
    return [_part(part, text_type, errors) for part in content]


def _part(part: Mapping[str, Any], text_type: str, errors: ErrorFactory) -> Item:
    kind = part["type"]
    if kind == "text":
        result: Item = {"type": text_type, "text": part["text"]}
    elif kind == "refusal":
        result = {"type": "refusal", "refusal": part["refusal"]}
    elif kind == "image_url":
        image = part["image_url"]
        result = {"type": "input_image", "image_url": image["url"]}
        result["detail"] = image.get("detail") or "auto"
    elif kind == "file":
        result = {"type": "input_file", **part["file"]}
        if "file_data" in result:
            result.setdefault("filename", "file")
    elif kind == "input_audio":
        result = {"type": "input_audio", "input_audio": part["input_audio"]}
    else:
        raise errors.unsupported("messages.content", f"has a part of type {kind!r}")
    if part.get("prompt_cache_breakpoint"):
        result["prompt_cache_breakpoint"] = part["prompt_cache_breakpoint"]
    return result
