"""Messages of requests and answers in the form of the semantic conventions; opt-in.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-input-messages/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.providers.json_bytes import dumps


def input_messages(request: Any) -> str | None:
    """The messages of a chat request as JSON; None for any other request."""
    messages = request.get("messages") if isinstance(request, Mapping) else None
    if not isinstance(messages, list):
        return None
    return _as_json(
        {"role": str(m.get("role", "")), "parts": list(_parts(m))}
        for m in messages
        if isinstance(m, Mapping)
    )


def output_messages(answer: Any) -> str | None:
    """The messages of a chat answer as JSON; None for any other answer."""
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    if not isinstance(choices, list):
        return None
    return _as_json(
        {
            "role": "assistant",
            "parts": list(_parts(choice.get("message"))),
            "finish_reason": str(choice.get("finish_reason") or ""),
        }
        for choice in choices
        if isinstance(choice, Mapping)
    )


def _parts(message: Any) -> Iterable[dict[str, Any]]:
    if not isinstance(message, Mapping):
        return
    content = message.get("content")
    if message.get("role") == "tool":
        yield {
            "type": "tool_call_response",
            "id": message.get("tool_call_id"),
            "response": content,
        }
    elif isinstance(content, str):
        yield {"type": "text", "content": content}
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, Mapping) and part.get("type") == "text":
                yield {"type": "text", "content": part.get("text")}
            elif isinstance(part, Mapping):
                yield {"type": str(part.get("type"))}  # media are not copied into traces
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            yield {
                "type": "tool_call",
                "id": call.get("id"),
                "name": function.get("name"),
                "arguments": function.get("arguments"),
            }


def _as_json(messages: Iterable[dict[str, Any]]) -> str | None:
    try:
        return dumps(list(messages)).decode()
    except (TypeError, ValueError):
        return None
