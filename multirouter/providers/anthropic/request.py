"""Translates a canonical request to Anthropic Messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from multirouter.core import validation as check
from multirouter.providers.anthropic.conversation import conversation, thinking_allowed
from multirouter.providers.anthropic.field_support import FIELDS
from multirouter.providers.anthropic.schema import adapted_schema
from multirouter.providers.calls.names import ANTHROPIC as ANTHROPIC_NAMES
from multirouter.providers.calls.names import ToolNames
from multirouter.providers.canonical import ChatRequest
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.field_support import check_fields, dropped, find_lacks
from multirouter.providers.quirks.model_quirks import Quirks, ThinkingStyle

JSON_INSTRUCTION = "Answer with one JSON object and nothing else."

_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high"} | {
    "xhigh": "xhigh",
    "max": "max",
}
BUDGETS = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 32768,
}
"""Thinking tokens for each effort, for models that need a budget. The API's minimum is 1024."""

_USER_LENGTH = 256
"""Source: the validation errors of the API, `metadata.user_id`: at most 256 characters."""

_OFF = {"type": "disabled"}
_TIERS = {"auto": "auto", "default": "standard_only", "priority": "auto"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """What differs between models.

    Attributes:
        max_tokens: sent when the request has no limit, because the API requires one. At least 1.
        thinking: how `reasoning_effort` is translated: `adaptive` with an effort (models since
            2026), or a `budget` of tokens. None is `adaptive`.
        drops: request fields that are left out because this model rejects them
            (`("temperature", "top_p")`).
    """

    max_tokens: int = 4096
    thinking: ThinkingStyle | None = None
    drops: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        check.count("Anthropic.max_tokens", self.max_tokens)
        if self.thinking is not None:
            check.one_of("Anthropic.thinking", self.thinking, ("adaptive", "budget"))

    def for_model(self, quirks: Quirks) -> ModelSettings:
        """The settings with what is known of a model where they are silent."""
        return replace(self, thinking=self.thinking or quirks.thinking)


def to_anthropic(
    request: ChatRequest, model_settings: ModelSettings, errors: ErrorFactory, *, stream: bool
) -> dict[str, Any]:
    """Returns the body of `POST /v1/messages`, without `model` when the request has none.

    Raises:
        ProviderError: of kind `unsupported`, for what this format cannot express.
    """
    kept = {key: value for key, value in request.items() if key not in model_settings.drops}
    check_fields(kept, FIELDS, errors)
    names = ToolNames(ANTHROPIC_NAMES, request.get("tools"))
    converted = conversation(request["messages"], errors, names)
    params: dict[str, Any] = {key: value for key, value in kept.items() if value is not None}
    limit = (
        params.get("max_completion_tokens") or params.get("max_tokens") or model_settings.max_tokens
    )
    body: dict[str, Any] = {"max_tokens": limit, "messages": converted.turns}
    if "model" in params:
        body["model"] = params["model"]
    body.update(_tools(params, names, errors))
    body.update(_thinking(params, body, model_settings))
    body.update(_sampling(params, body, errors))
    system = converted.system + _response_format(params, body, errors)
    if system:
        body["system"] = system
    user = params.get("safety_identifier") or params.get("user")
    if user:
        body["metadata"] = {"user_id": user[:_USER_LENGTH] if isinstance(user, str) else user}
    if params.get("service_tier") in _TIERS:
        body["service_tier"] = _TIERS[params["service_tier"]]
    if stream:
        body["stream"] = True
    return body


@dataclass(frozen=True, slots=True)
class AnthropicLacks:
    """Returns what of a request Anthropic Messages cannot express; see `Provider.lacks`.

    Attributes:
        model_settings: what differs for the model.
    """

    model_settings: ModelSettings

    def __call__(self, request: Any) -> Mapping[str, str]:
        """See `find_lacks`."""
        left_out = dict.fromkeys(self.model_settings.drops, dropped("by the model's settings"))
        return find_lacks(request, "anthropic", {**FIELDS, **left_out}, self._translate)

    def _translate(self, request: Any, errors: ErrorFactory) -> object:
        return to_anthropic(request, self.model_settings, errors, stream=False)


def _sampling(
    params: Mapping[str, Any], body: Mapping[str, Any], errors: ErrorFactory
) -> dict[str, Any]:
    """Sampling settings. With thinking, neither temperature nor top_p is allowed."""
    settings: dict[str, Any] = {}
    if body.get("thinking", _OFF) == _OFF:
        if "temperature" in params:
            settings["temperature"] = min(params["temperature"], 1)
        if "top_p" in params:
            settings["top_p"] = params["top_p"]
    stop = params.get("stop")
    if stop:
        settings["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
        if not all(sequence.strip() for sequence in settings["stop_sequences"]):
            raise errors.unsupported("stop", "a stop sequence must not be blank")
    return settings


def _thinking(
    params: Mapping[str, Any], body: Mapping[str, Any], model_settings: ModelSettings
) -> dict[str, Any]:
    """Thinking settings; none with a forced tool, or in an unsigned tool turn with a budget."""
    effort = params.get("reasoning_effort")
    if effort is None or effort not in _EFFORTS:
        return {"thinking": _OFF} if effort == "none" else {}
    if body.get("tool_choice", {}).get("type") in {"any", "tool"}:
        return {}
    if model_settings.thinking != "budget":
        return {
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": _EFFORTS[effort]},
        }
    if not thinking_allowed(body):
        return {}
    budget = BUDGETS[effort]
    return {
        "thinking": {"type": "enabled", "budget_tokens": budget},
        "max_tokens": body["max_tokens"] + budget,
    }


def is_prefill(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the conversation ends with the beginning of the answer."""
    return bool(messages) and messages[-1].get("role") == "assistant"


def _tools(params: Mapping[str, Any], names: ToolNames, errors: ErrorFactory) -> dict[str, Any]:
    tools = [_tool(tool, names, errors) for tool in params.get("tools") or ()]
    if not tools:
        return {}
    choice, allowed = _choice(params.get("tool_choice"), names, errors)
    if allowed is not None:
        tools = [tool for tool in tools if tool["name"] in allowed]
    if params.get("parallel_tool_calls") is False and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {"tools": tools, "tool_choice": choice} if choice else {"tools": tools}


def _tool(tool: Mapping[str, Any], names: ToolNames, errors: ErrorFactory) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not function:
        raise errors.unsupported(
            "tools.type", f"must be of type function, got {tool.get('type')!r}"
        )
    result = {
        "name": names.sent(function["name"]),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    for field, source in (("description", function), ("strict", function), ("cache_control", tool)):
        if source.get(field):
            result[field] = source[field]
    return result


_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def _choice(
    choice: str | dict[str, Any] | None, names: ToolNames, errors: ErrorFactory
) -> tuple[dict[str, Any] | None, set[str] | None]:
    """Returns the tool choice, and the names of the allowed tools when not all are allowed."""
    if choice is None:
        return None, None
    if isinstance(choice, str):
        if choice in _CHOICES:
            return {"type": _CHOICES[choice]}, None
    elif choice["type"] == "function":
        return {"type": "tool", "name": names.sent(choice["function"]["name"])}, None
    elif choice["type"] == "allowed_tools":
        allowed = choice["allowed_tools"]
        chosen = [(tool.get("function") or tool).get("name") for tool in allowed["tools"]]
        return {"type": _CHOICES[allowed["mode"]]}, {names.sent(name) for name in chosen}
    raise errors.unsupported("tool_choice", f"{choice!r} is not supported")


def _response_format(
    params: Mapping[str, Any], body: dict[str, Any], errors: ErrorFactory
) -> list[dict[str, Any]]:
    """Sets a schema in the body, or returns an instruction for the system prompt."""
    response_format = params.get("response_format") or {}
    kind = response_format.get("type", "text")
    if kind == "json_object":
        return [{"type": "text", "text": JSON_INSTRUCTION}]
    if kind == "json_schema":
        schema = response_format["json_schema"].get("schema") or {"type": "object"}
        config = body.setdefault("output_config", {})
        config["format"] = {"type": "json_schema", "schema": adapted_schema(schema)}
    elif kind != "text":
        raise errors.unsupported(
            "response_format", f"must be text, json_object or json_schema, got {kind!r}"
        )
    return []
