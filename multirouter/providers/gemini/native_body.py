"""Bodies of a client of this format for a certain model, which others may have answered before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.providers.calls.names import ToolNames
from multirouter.providers.gemini.conversation import FOREIGN_SIGNATURE

_SNAKE = {
    "functionCall": "function_call",
    "functionResponse": "function_response",
    "functionDeclarations": "function_declarations",
    "thoughtSignature": "thought_signature",
    "toolConfig": "tool_config",
    "functionCallingConfig": "function_calling_config",
    "allowedFunctionNames": "allowed_function_names",
}
"""Names of fields as Google's API takes them too."""


def fitted(body: dict[str, Any], names: ToolNames, *, modern: bool) -> dict[str, Any]:
    """The body with what the model takes in calls: names, signatures, and media of results.

    Args:
        body: a body; changed in place, but nothing in it.
        names: the names of its tools.
        modern: whether the model is Gemini 3 or later: it rejects calls without a signature, so
            those of other models get `FOREIGN_SIGNATURE`, and takes media in results of tools.
    """
    if isinstance(body.get("contents"), list):
        body["contents"] = [_turn(turn, names, modern=modern) for turn in body["contents"]]
    if names:
        if isinstance(body.get("tools"), list):
            body["tools"] = [_tool(tool, names) for tool in body["tools"]]
        _rename_allowed(body, names)
    return body


def _turn(turn: Any, names: ToolNames, *, modern: bool) -> Any:
    parts = turn.get("parts") if isinstance(turn, Mapping) else None
    if not isinstance(parts, list):
        return turn
    made: list[Any] = []
    media: list[Any] = []
    called = False
    for part in parts:
        call, result = _key(part, "functionCall"), _key(part, "functionResponse")
        kept = part
        if call is not None:
            kept = {**part, call: names.renamed(part[call])}
            if modern and not called and _key(part, "thoughtSignature") is None:
                kept["thoughtSignature"] = FOREIGN_SIGNATURE
            called = True
        elif result is not None and isinstance(part[result], Mapping):
            inner = names.renamed(part[result])
            if not modern and inner.get("parts"):
                media += inner["parts"]
                inner = {name: value for name, value in inner.items() if name != "parts"}
            kept = {**part, result: inner}
        made.append(kept)
    return {**turn, "parts": [*made, *media]}


def _tool(tool: Any, names: ToolNames) -> Any:
    key = _key(tool, "functionDeclarations")
    if key is None or not isinstance(tool[key], list):
        return tool
    return {**tool, key: [names.renamed(declaration) for declaration in tool[key]]}


def _rename_allowed(body: dict[str, Any], names: ToolNames) -> None:
    outer = _key(body, "toolConfig")
    inner = _key(body[outer], "functionCallingConfig") if outer else None
    if outer is None or inner is None:
        return
    config = body[outer][inner]
    key = _key(config, "allowedFunctionNames")
    if key is not None and isinstance(config[key], list):
        renamed = {**config, key: [names.sent(name) for name in config[key]]}
        body[outer] = {**body[outer], inner: renamed}


def _key(item: Any, name: str) -> str | None:
    """The name by which an object has a field: in camel or snake case; None without it."""
    if not isinstance(item, Mapping):
        return None
    return next((key for key in (name, _SNAKE[name]) if item.get(key) is not None), None)
