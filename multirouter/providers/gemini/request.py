"""Translates a canonical request to Gemini's generateContent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multirouter.providers.calls.names import GEMINI as GEMINI_NAMES
from multirouter.providers.calls.names import ToolNames
from multirouter.providers.canonical import ChatRequest
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.field_support import check_fields, find_lacks
from multirouter.providers.gemini.conversation import conversation
from multirouter.providers.gemini.field_support import FIELDS

_GENERATION = {
    "temperature": "temperature",
    "top_p": "topP",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
_MAX_STOP_SEQUENCES = 5

_LEVELS = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
_BUDGETS = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
"""Thinking tokens for each effort. Source: the table of Google's OpenAI-compatible endpoint."""


def uses_thinking_levels(model: str) -> bool:
    """Whether a model has thinking levels and requires thought signatures: Gemini 3 and later."""
    name = model.rpartition("/")[2]
    return not name.startswith(("gemini-1", "gemini-2"))


def to_gemini(request: ChatRequest, model: str, errors: ErrorFactory) -> dict[str, Any]:
    """Returns the body of `:generateContent`.

    Args:
        request: the canonical request.
        model: the model's name; it decides how reasoning is translated.
        errors: makes the errors.

    Raises:
        ProviderError: of kind `unsupported`, for what this format cannot express.
    """
    check_fields(request, FIELDS, errors)
    params: dict[str, Any] = {key: value for key, value in request.items() if value is not None}
    names = ToolNames(GEMINI_NAMES, request.get("tools"))
    modern = uses_thinking_levels(model)
    converted = conversation(request["messages"], errors, names, modern=modern)
    body: dict[str, Any] = {"contents": converted.contents}
    if converted.system:
        body["systemInstruction"] = {"parts": converted.system}
    body.update(_tools(params, names, errors))
    config = {
        **{name: params[field] for field, name in _GENERATION.items() if field in params},
        **_limits(params, errors),
        **_response_format(params, errors),
        **_thinking(params, model),
    }
    if config:
        body["generationConfig"] = config
    return body


@dataclass(frozen=True, slots=True)
class GeminiLacks:
    """Returns what of a request Gemini's generateContent cannot express; see `Provider.lacks`."""

    def __call__(self, request: Any) -> Mapping[str, str]:
        """See `find_lacks`."""
        return find_lacks(request, "gemini", FIELDS, self._translate)

    def _translate(self, request: Any, errors: ErrorFactory) -> object:
        return to_gemini(request, "", errors)


def _limits(params: Mapping[str, Any], errors: ErrorFactory) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    limit = params.get("max_completion_tokens") or params.get("max_tokens")
    if limit:
        settings["maxOutputTokens"] = limit
    stop = params.get("stop")
    if stop:
        settings["stopSequences"] = [stop] if isinstance(stop, str) else list(stop)
        if len(settings["stopSequences"]) > _MAX_STOP_SEQUENCES:
            count = len(settings["stopSequences"])
            raise errors.unsupported(
                "stop", f"must have at most {_MAX_STOP_SEQUENCES} sequences, got {count}"
            )
    return settings


def _response_format(params: Mapping[str, Any], errors: ErrorFactory) -> dict[str, Any]:
    response_format = params.get("response_format") or {}
    kind = response_format.get("type", "text")
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"responseMimeType": "application/json"}
    if kind == "json_schema":
        schema = response_format["json_schema"].get("schema") or {"type": "object"}
        return {"responseMimeType": "application/json", "responseJsonSchema": schema}
    raise errors.unsupported(
        "response_format", f"must be text, json_object or json_schema, got {kind!r}"
    )


def _thinking(params: Mapping[str, Any], model: str) -> dict[str, Any]:
    effort = params.get("reasoning_effort")
    if effort not in _LEVELS:
        return {}
    thoughts = {} if effort == "none" else {"includeThoughts": True}
    if uses_thinking_levels(model):
        return {"thinkingConfig": {"thinkingLevel": _LEVELS[effort], **thoughts}}
    return {"thinkingConfig": {"thinkingBudget": _BUDGETS[effort], **thoughts}}


def _tools(params: Mapping[str, Any], names: ToolNames, errors: ErrorFactory) -> dict[str, Any]:
    declarations = [_declaration(tool, names, errors) for tool in params.get("tools") or ()]
    if not declarations:
        return {}
    settings: dict[str, Any] = {"tools": [{"functionDeclarations": declarations}]}
    choice = params.get("tool_choice")
    if choice is not None:
        settings["toolConfig"] = {"functionCallingConfig": _choice(choice, names, errors)}
    return settings


def _declaration(tool: Mapping[str, Any], names: ToolNames, errors: ErrorFactory) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not function:
        raise errors.unsupported(
            "tools.type", f"must be of type function, got {tool.get('type')!r}"
        )
    result = {"name": names.sent(function["name"])}
    if function.get("description"):
        result["description"] = function["description"]
    if function.get("parameters"):
        result["parametersJsonSchema"] = function["parameters"]
    return result


_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def _choice(choice: str | dict[str, Any], names: ToolNames, errors: ErrorFactory) -> dict[str, Any]:
    if isinstance(choice, str):
        if choice in _MODES:
            return {"mode": _MODES[choice]}
    elif choice["type"] == "function":
        return {"mode": "ANY", "allowedFunctionNames": [names.sent(choice["function"]["name"])]}
    elif choice["type"] == "allowed_tools":
        allowed = choice["allowed_tools"]
        chosen = [names.sent((tool.get("function") or tool)["name"]) for tool in allowed["tools"]]
        # The API accepts names with ANY and VALIDATED only, not with AUTO.
        mode = "ANY" if allowed["mode"] == "required" else "VALIDATED"
        return {"mode": mode, "allowedFunctionNames": chosen}
    raise errors.unsupported("tool_choice", f"{choice!r} is not supported")
