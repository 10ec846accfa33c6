"""Bodies of a client of this format with names and ids of calls that the service accepts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from multirouter.providers.calls.ids import RESPONSES, valid_id
from multirouter.providers.calls.names import ToolNames
from multirouter.providers.value_types import is_mapping

_NAMED = frozenset({"function", "custom", "function_call", "custom_tool_call"})
"""Types of tools, choices and items that have the name of a tool."""


def names_of(body: Mapping[str, Any]) -> Iterator[Any]:
    """The names of the tools in a body, also of those in namespaces."""
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if is_mapping(tool):
            if tool.get("type") in _NAMED:
                yield tool.get("name")
            yield from names_of(tool)


def with_valid_calls(body: dict[str, Any], names: ToolNames) -> dict[str, Any]:
    """The body with names and ids of tools and calls that the service accepts.

    Args:
        body: a body; changed in place, but nothing in it.
        names: the names of its tools.
    """
    if names:
        for field in ("tools", "tool_choice"):
            if field in body:
                body[field] = _renamed(body[field], names)
    if isinstance(body.get("input"), list):
        body["input"] = [_item(item, names) for item in body["input"]]
    return body


def _item(item: Any, names: ToolNames) -> Any:
    call_id = item.get("call_id") if is_mapping(item) else None
    if not isinstance(call_id, str):
        return item
    valid = valid_id(call_id, RESPONSES)
    return _renamed(item if valid == call_id else {**item, "call_id": valid}, names)


def _renamed(value: Any, names: ToolNames) -> Any:
    """A tool, a choice or an item with the names that the service accepts, and those in it."""
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    if not is_mapping(value):
        return value
    changed: dict[str, Any] = {}
    name = value.get("name")
    if value.get("type") in _NAMED and names.sent(name) != name:
        changed["name"] = names.sent(name)
    if isinstance(value.get("tools"), list):
        changed["tools"] = _renamed(value["tools"], names)
    return {**value, **changed} if changed else value
