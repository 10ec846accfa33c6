"""Translates a request in the Responses format to the canonical one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from multirouter.gateway.formats.responses.input_items import Conversation
from multirouter.gateway.formats.responses.tools import Tools, tool_choice
from multirouter.gateway.http.http_error import HTTPError, invalid_field, shown
from multirouter.gateway.routing.request_options import EXTENSION_FIELDS

_SAME = (
    "model",
    "stream",
    "temperature",
    "top_p",
    "service_tier",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    *EXTENSION_FIELDS,
)
"""Fields with the same name and meaning in the canonical format."""

_OTHERWISE = frozenset(
    {"input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"}
    | {"max_output_tokens", "top_logprobs"}
)

_WITHOUT_EFFECT = frozenset({"store", "include", "truncation", "stream_options", "metadata"})
"""Fields whose loss changes no answer: where it is stored, and what is reported beside it."""

ONLY_NATIVE = (
    "previous_response_id",
    "conversation",
    "prompt",
    "background",
)
"""Fields that refer to what a service of OpenAI stores or runs."""


class TranslatedRequest(NamedTuple):
    """A request in the canonical format, and what its answer needs.

    Attributes:
        request: the canonical request.
        tools: the client's tools, by the names of their functions.
        losses: fields that the canonical request lacks.
        only_native: those without which an answer would be to another request.
    """

    request: dict[str, Any]
    tools: Tools
    losses: tuple[str, ...]
    only_native: tuple[str, ...]


def from_responses(body: Mapping[str, Any]) -> TranslatedRequest:
    """Translates a request.

    Args:
        body: a body of `POST /v1/responses`.

    Raises:
        HTTPError: 400, for what is malformed. What has no counterpart is a loss.
    """
    try:
        return _translated(body)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        message = f"malformed request: {type(error).__name__}: {error}"
        raise HTTPError(400, message, code="invalid_value") from error


def _translated(body: Mapping[str, Any]) -> TranslatedRequest:
    _check_object(body, "reasoning")
    _check_object(body, "text")
    tools = Tools()
    if body.get("tools") is not None:
        tools.add(body["tools"], "tools")
    conversation = Conversation(tools)
    only_native = [name for name in ONLY_NATIVE if body.get(name)]
    if body.get("input") is not None:
        conversation.add(body["input"])
    elif not only_native:
        raise invalid_field("input", "must be a string or a list of items, got null")
    messages = conversation.messages()
    instructions = body.get("instructions")
    if isinstance(instructions, str) and instructions:
        messages.insert(0, {"role": "system", "content": instructions})
    if "item_reference" in conversation.dropped:
        only_native.append("input.item_reference")
    if not messages and not only_native:
        if not body["input"]:
            raise invalid_field("input", "must have at least one item")
        only_native.append("input")
    request = {name: body[name] for name in _SAME if body.get(name) is not None}
    request["messages"] = messages
    request.update(_options(body, tools))
    losses = [
        *(name for name in body if name not in _KNOWN and body[name] is not None),
        *(f"tools.{kind}" for kind in tools.dropped),
        *(f"input.{kind}" for kind in conversation.dropped),
    ]
    return TranslatedRequest(request, tools, tuple(dict.fromkeys(losses)), tuple(only_native))


_KNOWN = frozenset({*_SAME, *_OTHERWISE, *_WITHOUT_EFFECT, *ONLY_NATIVE})


def _options(body: Mapping[str, Any], tools: Tools) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if tools.functions:
        options["tools"] = tools.functions
        choice = tool_choice(body.get("tool_choice"), tools)
        if choice is not None:
            options["tool_choice"] = choice
        if body.get("parallel_tool_calls") is not None:
            options["parallel_tool_calls"] = body["parallel_tool_calls"]
    if body.get("max_output_tokens") is not None:
        options["max_completion_tokens"] = body["max_output_tokens"]
    if body.get("top_logprobs"):
        options.update(logprobs=True, top_logprobs=body["top_logprobs"])
    effort = (body.get("reasoning") or {}).get("effort")
    if effort is not None:
        options["reasoning_effort"] = effort
    text = body.get("text") or {}
    if text.get("verbosity") is not None:
        options["verbosity"] = text["verbosity"]
    output_format = _output_format(text.get("format"))
    if output_format is not None:
        options["response_format"] = output_format
    return options


def _output_format(format_: Any) -> dict[str, Any] | None:
    """The canonical `response_format`; None for text."""
    if format_ is None:
        return None
    kind = format_.get("type") if isinstance(format_, Mapping) else None
    if not isinstance(kind, str):
        raise invalid_field("text.format", f"must be an object with a `type`, got {shown(format_)}")
    if kind == "text":
        return None
    if kind != "json_schema":
        return dict(format_)
    schema = {name: value for name, value in format_.items() if name != "type"}
    return {"type": "json_schema", "json_schema": schema}


def _check_object(body: Mapping[str, Any], name: str) -> None:
    value = body.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise invalid_field(name, f"must be an object, got {shown(value)}")
