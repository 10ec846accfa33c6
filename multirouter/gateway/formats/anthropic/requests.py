"""A request in Anthropic's format as a canonical one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from multirouter.gateway.http.error_responses import Refusal

Message = dict[str, Any]

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_EFFORTS = ((2048, "low"), (8192, "medium"), (16384, "high"))
"""Tokens of a thinking budget up to which an effort is meant; more is `xhigh`."""

_DROPPED = frozenset({"metadata", "service_tier", "container", "mcp_servers", "betas", "top_k"})
"""Fields without a counterpart, whose loss changes no answer, or only how it is drawn."""

_SAME = frozenset({"temperature", "top_p", "max_tokens", "stream", "model"})
_OWN = frozenset({"fallback_models", "fallback_conditions", "route", "timeout"})
_KNOWN = (
    _DROPPED
    | _SAME
    | _OWN
    | {"system", "messages", "stop_sequences", "tools", "tool_choice", "thinking", "output_config"}
)


def from_messages(body: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical request.

    Args:
        body: a body of `POST /v1/messages`.

    Raises:
        Refusal: 400, for what is malformed or cannot be said.
    """
    unknown = sorted(body.keys() - _KNOWN)
    if unknown:
        raise Refusal(400, f"{unknown[0]}: is unknown here", param=unknown[0])
    limit = body.get("max_tokens")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise Refusal(400, "max_tokens: a whole number above 0 is required", param="max_tokens")
    try:
        return _translated(body)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise Refusal(400, f"the request is malformed: {error}", code="invalid_value") from error


def _translated(body: Mapping[str, Any]) -> dict[str, Any]:
    asked = {name: body[name] for name in _SAME | _OWN if body.get(name) is not None}
    asked["messages"] = [*_system(body.get("system")), *_turns(body.get("messages"))]
    if body.get("stop_sequences"):
        asked["stop"] = list(body["stop_sequences"])
    if body.get("tools"):
        asked["tools"] = [_tool(tool) for tool in body["tools"]]
        asked.update(_choice(body.get("tool_choice")))
    user = (body.get("metadata") or {}).get("user_id")
    if user:
        asked["user"] = user
    asked.update(_output(body))
    return asked


def _output(body: Mapping[str, Any]) -> dict[str, Any]:
    """Thinking as an effort, and the form of the answer as a response format."""
    asked: dict[str, Any] = {}
    config = body.get("output_config") or {}
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "disabled":
        asked["reasoning_effort"] = "none"
    elif thinking.get("type") == "enabled":
        budget = thinking["budget_tokens"]
        asked["reasoning_effort"] = next((e for most, e in _EFFORTS if budget <= most), "xhigh")
    elif thinking.get("type") == "adaptive":
        asked["reasoning_effort"] = config.get("effort") or "high"
    form = config.get("format")
    if form:
        schema = {"name": "answer", "schema": form["schema"], "strict": True}
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
    return asked


def _system(system: Any) -> Iterator[Message]:
    if isinstance(system, str):
        yield {"role": "system", "content": system}
    elif system:
        yield {"role": "system", "content": [_part(block) for block in system]}


def _turns(messages: Any) -> Iterator[Message]:
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "messages: at least one is required", param="messages")
    for message in messages:
        role, content = message["role"], message["content"]
        if role == "user":
            yield from _user(content)
        elif role == "assistant":
            yield _assistant(content)
        elif role == "system":
            yield from _system(content)
        else:
            raise Refusal(400, f"messages: there is no role {role!r}", param="messages")


def _user(content: Any) -> Iterator[Message]:
    """A user's turn; results of tools in it are messages of their own, and come first."""
    if isinstance(content, str):
        yield {"role": "user", "content": content}
        return
    parts = []
    for block in content:
        if block["type"] == "tool_result":
            yield _result(block)
        else:
            parts.append(_part(block))
    if parts:
        yield {"role": "user", "content": parts}


def _result(block: Mapping[str, Any]) -> Message:
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
    texts, calls, thoughts = [], [], []
    for block in content:
        kind = block["type"]
        if kind == "text":
            texts.append(_part(block))
        elif kind == "tool_use":
            calls.append(_call(block))
        elif kind in {"thinking", "redacted_thinking"}:
            thoughts.append(dict(block))
        else:
            raise Refusal(400, f"messages: {kind!r} is unknown here", param="messages")
    if texts:
        message["content"] = texts if len(texts) > 1 else texts[0]["text"]
    if calls:
        message["tool_calls"] = calls
    if thoughts:
        message["thinking_blocks"] = thoughts
    return message


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
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
        raise Refusal(400, f"messages: {kind!r} is unknown here", param="messages")
    if block.get("cache_control"):
        part["cache_control"] = block["cache_control"]
    return part


def _url(source: Mapping[str, Any]) -> str:
    if source["type"] == "base64":
        return f"data:{source['media_type']};base64,{source['data']}"
    if source["type"] == "url":
        return str(source["url"])
    raise Refusal(400, f"source: {source['type']!r} is unknown here", param="messages")


def _file(block: Mapping[str, Any]) -> dict[str, Any]:
    source = block["source"]
    if source["type"] == "file":
        return {"file_id": source["file_id"]}
    if source["type"] != "base64":
        raise Refusal(400, f"document: {source['type']!r} is unknown here", param="messages")
    return {"file_data": _url(source), "filename": block.get("title") or "document.pdf"}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") not in {None, "custom"}:
        raise Refusal(400, f"tools: {tool['type']!r} runs at Anthropic alone", param="tools")
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    for field in ("description", "strict"):
        if tool.get(field):
            function[field] = tool[field]
    made: dict[str, Any] = {"type": "function", "function": function}
    if tool.get("cache_control"):
        made["cache_control"] = tool["cache_control"]
    return made


def _choice(choice: Mapping[str, Any] | None) -> dict[str, Any]:
    if choice is None:
        return {}
    asked: dict[str, Any] = {}
    if choice["type"] == "tool":
        asked["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    else:
        asked["tool_choice"] = _CHOICES[choice["type"]]
    if choice.get("disable_parallel_tool_use"):
        asked["parallel_tool_calls"] = False
    return asked
