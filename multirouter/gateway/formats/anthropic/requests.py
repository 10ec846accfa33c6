"""Translates a request in Anthropic's format to the canonical one.

There is no list of allowed fields: a provider of this format gets the client's own body, and for
others the fields without a counterpart are left out and recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.gateway.formats.anthropic.blocks import Blocks
from multirouter.gateway.formats.anthropic.client_tools import function_of
from multirouter.gateway.formats.translated import Translated
from multirouter.gateway.http.http_error import HTTPError, invalid_field, shown
from multirouter.gateway.routing.request_options import EXTENSION_FIELDS
from multirouter.providers.native.client_request import Losses

_TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_EFFORTS = ((2048, "low"), (8192, "medium"), (16384, "high"))
"""Largest thinking budget, tokens, of each effort; a larger one is `xhigh`."""

_COPIED = frozenset({"temperature", "top_p", "max_tokens", "stream", "model", *EXTENSION_FIELDS})
_TRANSLATED = _COPIED | {
    "system",
    "messages",
    "stop_sequences",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "metadata",
}
"""Fields with a counterpart; all others are left out."""


def from_messages(body: Mapping[str, Any]) -> Translated:
    """The canonical request.

    Args:
        body: a body of `POST /v1/messages`.

    Raises:
        HTTPError: 400, for what is malformed.
    """
    limit = body.get("max_tokens")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise invalid_field("max_tokens", f"must be an integer >= 1, got {shown(limit)}")
    losses = Losses(name for name in body if name not in _TRANSLATED and body[name] is not None)
    try:
        return Translated(_translated(body, losses), losses.names)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        message = f"malformed request: {type(error).__name__}: {error}"
        raise HTTPError(400, message, code="invalid_value") from error


def _translated(body: Mapping[str, Any], losses: Losses) -> dict[str, Any]:
    blocks = Blocks(losses)
    request = {name: value for name, value in body.items() if name in _COPIED and value is not None}
    request["messages"] = [
        *blocks.system(body.get("system")),
        *blocks.turns(body.get("messages")),
    ]
    if body.get("stop_sequences"):
        request["stop"] = list(body["stop_sequences"])
    tools = [made for tool in body.get("tools") or () if (made := _tool(tool, losses))]
    if tools:
        request["tools"] = tools
        names = {tool["function"]["name"] for tool in tools}
        request.update(_tool_choice(body.get("tool_choice"), names, losses))
    metadata = body.get("metadata") or {}
    if metadata.get("user_id"):
        request["user"] = metadata["user_id"]
    for name in metadata:
        if name != "user_id":
            losses.add(f"metadata.{name}")
    request.update(_output_options(body, losses))
    return request


def _output_options(body: Mapping[str, Any], losses: Losses) -> dict[str, Any]:
    """Thinking as `reasoning_effort`, and the output format as `response_format`."""
    options: dict[str, Any] = {}
    config = body.get("output_config") or {}
    thinking = body.get("thinking") or {}
    kind, effort = thinking.get("type"), config.get("effort")
    budget = thinking.get("budget_tokens")
    if kind == "disabled":
        options["reasoning_effort"] = "none"
    elif kind == "enabled" and isinstance(budget, int) and not effort:
        effort = next((effort for largest, effort in _EFFORTS if budget <= largest), "xhigh")
        options["reasoning_effort"] = effort
    elif kind is not None:
        options["reasoning_effort"] = effort or "high"
    elif effort:
        options["reasoning_effort"] = effort
    output_format = config.get("format") or {}
    if output_format.get("schema") is not None:
        schema = {"name": "answer", "schema": output_format["schema"], "strict": True}
        options["response_format"] = {"type": "json_schema", "json_schema": schema}
    for field, value, known in (
        ("output_config", config, {"effort", "format"}),
        ("thinking", thinking, {"type", "budget_tokens"}),
    ):
        for name in value:
            if name not in known:
                losses.add(f"{field}.{name}")
    return options


def _tool(tool: Mapping[str, Any], losses: Losses) -> dict[str, Any] | None:
    """A tool as a function; None, which is recorded, for one that only Anthropic can run."""
    kind = tool.get("type")
    if "input_schema" in tool or kind in {None, "custom"}:
        function: dict[str, Any] | None = {
            "name": tool["name"],
            "parameters": tool["input_schema"],
            **{field: tool[field] for field in ("description", "strict") if tool.get(field)},
        }
    else:
        function = function_of(tool)
    if function is None:
        losses.add(f"tools.{kind}")
        return None
    translated: dict[str, Any] = {"type": "function", "function": function}
    if tool.get("cache_control"):
        translated["cache_control"] = tool["cache_control"]
    return translated


def _tool_choice(
    choice: Mapping[str, Any] | None, names: set[str], losses: Losses
) -> dict[str, Any]:
    if choice is None:
        return {}
    options: dict[str, Any] = {}
    if choice["type"] == "tool" and choice["name"] in names:
        options["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    elif choice["type"] in _TOOL_CHOICES:
        options["tool_choice"] = _TOOL_CHOICES[choice["type"]]
    else:
        losses.add(f"tool_choice.{choice['type']}")
    if choice.get("disable_parallel_tool_use"):
        options["parallel_tool_calls"] = False
    return options
