"""Messages as one OpenAI-compatible service accepts them; most are passed on unchanged."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.providers.calls.ids import valid_id
from multirouter.providers.calls.names import ToolNames, with_sent_name
from multirouter.providers.openai.presets import Preset
from multirouter.providers.value_types import is_mapping

Message = Mapping[str, Any]

_MARKS = frozenset({"cache_control", "prompt_cache_breakpoint"})
_CONTENT = ("content", "tool_calls", "refusal", "function_call", "audio")
NO_REASONING = " "
"""Sent where a service requires reasoning, for a turn of a model that gave none."""

_PLAIN = frozenset({"role", "content", "name"})
"""Fields that every service takes as they are, as long as the content is one text."""

_TURNS = frozenset({"user", "assistant"})

_UNSENT = "See the next message of the user."
"""The text of a tool's result that only has media."""


def messages_for(
    messages: Iterable[Message], preset: Preset, names: ToolNames
) -> list[dict[str, Any] | Message]:
    """The messages of a request for one service. Those of the request are not changed.

    Args:
        messages: canonical messages.
        preset: the service.
        names: the names of tools at the service.
    """
    result: list[dict[str, Any] | Message] = []
    media: list[Any] = []
    turns_begun = False
    for message in messages:
        role = message["role"]
        if role != "tool" and media:
            result.append({"role": "user", "content": media})
            media = []
        plain = type(message.get("content")) is str and message.keys() <= _PLAIN
        if plain and role in _TURNS:
            turns_begun = True
            result.append(message)
            continue
        if role in {"system", "developer"}:
            result.append(_system(message, preset, late=turns_begun))
            continue
        turns_begun = True
        if role == "tool":
            result.append(_tool(message, preset, media))
        elif role == "assistant":
            translated = _assistant(message, preset, names)
            if translated is not None:
                result.append(translated)
        else:
            result.append(_plain(message, preset))
    if media:
        result.append({"role": "user", "content": media})
    return result


def limited(user: Any, length: int) -> Any:
    """A user's id of at most `length` characters; a longer one is replaced by its hash."""
    if not isinstance(user, str) or len(user) <= length:
        return user
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def without_marks(item: Any) -> Any:
    """A message, a content part or a tool without marks for caches, which it may have."""
    if is_mapping(item) and not _MARKS.isdisjoint(item):
        return {key: value for key, value in item.items() if key not in _MARKS}
    return item


def _system(message: Message, preset: Preset, *, late: bool) -> Message:
    """A system message; behind the first turn most services only take it from the user."""
    plain = _plain(message, preset)
    if late and not preset.late_system:
        return {**plain, "role": "user"}
    if message["role"] == "developer" and not preset.developer:
        return {**plain, "role": "system"}
    return plain


def _plain(message: Message, preset: Preset) -> Message:
    """A message without marks for caches. Texts that were separate for them become one."""
    content = message.get("content")
    if preset.cache_marks or not isinstance(content, list):
        return message if preset.cache_marks else without_marks(message)
    parts = [without_marks(part) for part in content]
    plain: Message = without_marks(message)
    if not any(map(operator.is_not, parts, content)):
        return plain
    return {**plain, "content": _joined(parts) if _only_text(parts) else parts}


def _only_text(parts: Iterable[Any]) -> bool:
    return all(is_mapping(part) and part.keys() == {"type", "text"} for part in parts)


def _joined(parts: Iterable[Mapping[str, Any]]) -> str:
    return "\n".join(part["text"] for part in parts)


def _tool(message: Message, preset: Preset, media: list[Any]) -> Message:
    """A tool's result. Services take text alone there: media go into a user's message behind it.

    Source: the error of OpenAI's API "Image URLs are only allowed for messages with role 'user'".
    """
    result = dict(_plain(message, preset))
    call_id = message.get("tool_call_id")
    if isinstance(call_id, str):
        result["tool_call_id"] = valid_id(call_id, preset.ids)
    content = result.get("content")
    if isinstance(content, list):
        texts = [part for part in content if part.get("type") == "text"]
        others = [part for part in content if part.get("type") != "text"]
        if others:
            media.append({"type": "text", "text": f"Result of {result['tool_call_id']}:"})
            media.extend(others)
        result["content"] = _joined(texts) if texts else _UNSENT
    return result


def _assistant(message: Message, preset: Preset, names: ToolNames) -> Message | None:
    """An assistant's message with what the service needs of its reasoning; None if it is empty."""
    result = dict(_without(_plain(message, preset), preset.strips))
    if "refusal" in preset.strips and message.get("refusal") and not result.get("content"):
        result["content"] = message["refusal"]
    calls = result.get("tool_calls")
    reasoning = _reasoning(message)
    if preset.reasoning and reasoning:
        result.pop("reasoning", None)
        result.pop("reasoning_content", None)
        result[preset.reasoning] = reasoning
    elif calls and preset.needs_reasoning:
        result["reasoning_content"] = NO_REASONING
    if calls:
        result["tool_calls"] = [_call(call, preset, names) for call in calls]
    thought_only = reasoning or message.get("thinking_blocks")
    if thought_only and not any(result.get(field) for field in _CONTENT):
        return None
    return result


def _reasoning(message: Message) -> str:
    """The text of the reasoning, by whichever name it came."""
    for field in ("reasoning_content", "reasoning"):
        text = message.get(field)
        if isinstance(text, str) and text:
            return text
    return ""


def _call(call: Mapping[str, Any], preset: Preset, names: ToolNames) -> Any:
    result = _without(call, preset.strips)
    call_id = result.get("id")
    if isinstance(call_id, str):
        valid = valid_id(call_id, preset.ids)
        result = result if valid == call_id else {**result, "id": valid}
    return with_sent_name(result, names)


def _without(item: Mapping[str, Any], fields: tuple[str, ...]) -> Mapping[str, Any]:
    """An object without some fields; the same one if it has none of them."""
    if item.keys().isdisjoint(fields):
        return item
    return {key: value for key, value in item.items() if key not in fields}
