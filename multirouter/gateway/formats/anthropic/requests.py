"""Translates a request in Anthropic's format to the canonical one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from multirouter.gateway.http.http_error import HTTPError, invalid_field, shown
from multirouter.gateway.routing.request_options import EXTENSION_FIELDS

Message = dict[str, Any]

_TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_EFFORTS = ((2048, "low"), (8192, "medium"), (16384, "high"))
"""Largest thinking budget, tokens, of each effort; a larger one is `xhigh`."""

_DROPPED = frozenset({"metadata", "service_tier", "container", "mcp_servers", "betas", "top_k"})
"""Fields without a counterpart, whose loss changes no answer, or only how it is sampled."""

_UNCHANGED = frozenset({"temperature", "top_p", "max_tokens", "stream", "model"})
_OWN = frozenset(EXTENSION_FIELDS)
_KNOWN = (
    _DROPPED
    | _UNCHANGED
    | _OWN
    | {"system", "messages", "stop_sequences", "tools", "tool_choice", "thinking", "output_config"}
)


def from_messages(body: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical request.

    Args:
        body: a body of `POST /v1/messages`.

    Raises:
        HTTPError: 400, for what is malformed or has no counterpart.
    """
    unknown = sorted(body.keys() - _KNOWN)
    if unknown:
        raise invalid_field(unknown[0], "is not a known field")
    limit = body.get("max_tokens")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise invalid_field("max_tokens", f"must be an integer >= 1, got {shown(limit)}")
    try:
        return _translated(body)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        message = f"malformed request: {type(error).__name__}: {error}"
        raise HTTPError(400, message, code="invalid_value") from error


def _translated(body: Mapping[str, Any]) -> dict[str, Any]:
    request = {name: body[name] for name in _UNCHANGED | _OWN if body.get(name) is not None}
    request["messages"] = [*_system(body.get("system")), *_turns(body.get("messages"))]
    if body.get("stop_sequences"):
        request["stop"] = list(body["stop_sequences"])
    if body.get("tools"):
        request["tools"] = [_tool(tool) for tool in body["tools"]]
        request.update(_tool_choice(body.get("tool_choice")))
    user = (body.get("metadata") or {}).get("user_id")
    if user:
        request["user"] = user
    request.update(_output_options(body))
    return request


def _output_options(body: Mapping[str, Any]) -> dict[str, Any]:
    """Thinking as `reasoning_effort`, and the output format as `response_format`."""
    options: dict[str, Any] = {}
    config = body.get("output_config") or {}
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "disabled":
        options["reasoning_effort"] = "none"
    elif thinking.get("type") == "enabled":
        budget = thinking["budget_tokens"]
        effort = next((effort for largest, effort in _EFFORTS if budget <= largest), "xhigh")
        options["reasoning_effort"] = effort
    elif thinking.get("type") == "adaptive":
        options["reasoning_effort"] = config.get("effort") or "high"
    output_format = config.get("format")
    if output_format:
        schema = {"name": "answer", "schema": output_format["schema"], "strict": True}
        options["response_format"] = {"type": "json_schema", "json_schema": schema}
    return options


def _system(system: Any) -> Iterator[Message]:
    if isinstance(system, str):
        yield {"role": "system", "content": system}
    elif system:
        yield {"role": "system", "content": [_part(block) for block in system]}


def _turns(messages: Any) -> Iterator[Message]:
    if not isinstance(messages, list) or not messages:
        raise invalid_field("messages", "must be a list of at least one message")
    for position, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if not isinstance(content, str | list):
            problem = f"must be a string or a list of blocks, got {shown(content)}"
            raise invalid_field(f"messages[{position}].content", problem)
        if role == "user":
            yield from _user(content)
        elif role == "assistant":
            yield _assistant(content)
        elif role == "system":
            yield from _system(content)
        else:
            problem = f"must be one of user, assistant, system, got {shown(role)}"
            raise invalid_field(f"messages[{position}].role", problem)


def _user(content: Any) -> Iterator[Message]:
    """A user's turn; tool results in it are messages of their own, and come first."""
    if isinstance(content, str):
        yield {"role": "user", "content": content}
        return
    parts = []
    for block in content:
        if block["type"] == "tool_result":
            yield _tool_result(block)
        else:
            parts.append(_part(block))
    if parts:
        yield {"role": "user", "content": parts}


def _tool_result(block: Mapping[str, Any]) -> Message:
    content = block.get("content") or ""
    if not isinstance(content, str):
        content = [_part(inner) for inner in content]
        if all(part["type"] == "text" for part in content):
            content = "".join(part["text"] for part in content)
    if block.get("is_error") and isinstance(content, str):
        content = f"error: {content}"
    return {"role": "tool", "tool_call_id": block["tool_use_id"], "content": content}


def _assistant(content: Any) -> Message:
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    message: Message = {"role": "assistant", "content": None}
    texts, calls, thinking = [], [], []
    for block in content:
        kind = block["type"]
        if kind == "text":
            texts.append(_part(block))
        elif kind == "tool_use":
            calls.append(_tool_call(block))
        elif kind in {"thinking", "redacted_thinking"}:
            thinking.append(dict(block))
        else:
            raise _unsupported_block(kind)
    if texts:
        message["content"] = texts if len(texts) > 1 else texts[0]["text"]
    if calls:
        message["tool_calls"] = calls
    if thinking:
        message["thinking_blocks"] = thinking
    return message


def _tool_call(block: Mapping[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(block.get("input") or {}, ensure_ascii=False)
    return {
        "id": block["id"],
        "type": "function",
        "function": {"name": block["name"], "arguments": arguments},
    }


def _part(block: Mapping[str, Any]) -> dict[str, Any]:
    kind = block["type"]
    if kind == "text":
        part = {"type": "text", "text": block["text"]}
    elif kind == "image":
        part = {"type": "image_url", "image_url": {"url": _url(block["source"])}}
    elif kind == "document":
        part = {"type": "file", "file": _file(block)}
    else:
        raise _unsupported_block(kind)
    if block.get("cache_control"):
        part["cache_control"] = block["cache_control"]
    return part


def _url(source: Mapping[str, Any]) -> str:
    kind = source["type"]
    if kind == "base64":
        return f"data:{source['media_type']};base64,{source['data']}"
    if kind == "url":
        return str(source["url"])
    raise invalid_field("messages", f"has an image source of type {kind!r}; allowed: base64, url")


def _file(block: Mapping[str, Any]) -> dict[str, Any]:
    source = block["source"]
    kind = source["type"]
    if kind == "file":
        return {"file_id": source["file_id"]}
    if kind != "base64":
        allowed = "allowed: base64, file"
        raise invalid_field("messages", f"has a document source of type {kind!r}; {allowed}")
    return {"file_data": _url(source), "filename": block.get("title") or "document.pdf"}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind = tool.get("type")
    if kind not in {None, "custom"}:
        raise invalid_field("tools", f"has a tool of type {kind!r}, which only Anthropic can run")
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    for field in ("description", "strict"):
        if tool.get(field):
            function[field] = tool[field]
    translated: dict[str, Any] = {"type": "function", "function": function}
    if tool.get("cache_control"):
        translated["cache_control"] = tool["cache_control"]
    return translated


def _tool_choice(choice: Mapping[str, Any] | None) -> dict[str, Any]:
    if choice is None:
        return {}
    options: dict[str, Any] = {}
    if choice["type"] == "tool":
        options["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    else:
        options["tool_choice"] = _TOOL_CHOICES[choice["type"]]
    if choice.get("disable_parallel_tool_use"):
        options["parallel_tool_calls"] = False
    return options


def _unsupported_block(kind: Any) -> HTTPError:
    return invalid_field("messages", f"has a content block of unsupported type {kind!r}")
