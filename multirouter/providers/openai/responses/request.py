"""Translates a canonical request to OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.providers.calls.names import ToolNames
from multirouter.providers.canonical import ChatRequest
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.field_support import check_fields
from multirouter.providers.openai.responses.conversation import input_items
from multirouter.providers.openai.responses.field_support import FIELDS

_SAME = (
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "temperature",
    "top_logprobs",
    "top_p",
    "user",
)
_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"

_MIN_OUTPUT_TOKENS = 16
"""Source: OpenAI API reference, Responses, `max_output_tokens`."""


def to_responses(request: ChatRequest, errors: ErrorFactory, names: ToolNames) -> dict[str, Any]:
    """The body of `POST /responses`, without `model` when the request has none.

    Nothing is stored by default: the conversation comes with each request, and so does the
    encrypted reasoning.

    Args:
        request: the canonical request.
        errors: makes the errors.
        names: the names of tools in this format.

    Raises:
        ProviderError: of kind `unsupported`, for what this format cannot express.
    """
    check_fields(request, FIELDS, errors)
    params: dict[str, Any] = {key: value for key, value in request.items() if value is not None}
    body: dict[str, Any] = {name: params[name] for name in _SAME if name in params}
    body["input"] = input_items(request["messages"], errors, names)
    body["store"] = bool(params.get("store"))
    body["include"] = [_ENCRYPTED, _LOGPROBS] if params.get("logprobs") else [_ENCRYPTED]
    limit = params.get("max_completion_tokens") or params.get("max_tokens")
    if limit:
        body["max_output_tokens"] = max(limit, _MIN_OUTPUT_TOKENS)
    if "reasoning_effort" in params:
        body["reasoning"] = {"effort": params["reasoning_effort"]}
    text = {}
    if "response_format" in params:
        text["format"] = _output_format(params["response_format"])
    if "verbosity" in params:
        text["verbosity"] = params["verbosity"]
    if text:
        body["text"] = text
    if params.get("tools"):
        body["tools"] = [_tool(tool, names) for tool in params["tools"]]
        if "tool_choice" in params:
            body["tool_choice"] = _tool_choice(params["tool_choice"], names)
    return body


def _flat(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool, or the choice of one, without the object nested under its type."""
    kind = tool["type"]
    inner = tool.get(kind)
    if not isinstance(inner, Mapping):
        return dict(tool)
    flat = {"type": kind, **inner}
    if kind == "function" and "parameters" in flat:
        flat.setdefault("strict", False)  # this API has another default than chat
    return flat


def _tool(tool: Mapping[str, Any], names: ToolNames) -> dict[str, Any]:
    flat = _flat(tool)
    if "name" in flat:
        flat["name"] = names.sent(flat["name"])
    return flat


def _tool_choice(choice: Any, names: ToolNames) -> Any:
    if not isinstance(choice, Mapping):
        return choice
    chosen = _tool(choice, names)
    if chosen["type"] == "allowed_tools":
        chosen["tools"] = [_tool(tool, names) for tool in chosen.get("tools") or ()]
    return chosen


def _output_format(response_format: Mapping[str, Any]) -> dict[str, Any]:
    flat = _flat(response_format)
    if flat["type"] == "json_schema":
        flat.setdefault("schema", {"type": "object"})
        flat.setdefault("name", "answer")
    return flat
