"""A canonical request as Gemini's generateContent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.providers.canonical import ChatRequest
from multirouter.providers.failures import Failures
from multirouter.providers.fields import check_fields
from multirouter.providers.gemini.content import conversation
from multirouter.providers.gemini.fields import FIELDS

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
_MOST_STOPS = 5

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
"""Tokens of thinking. Source: the table of Google's OpenAI-compatible endpoint."""


def has_levels(model: str) -> bool:
    """Whether a model thinks by level and wants its signatures back: Gemini 3 and later."""
    name = model.rpartition("/")[2]
    return not name.startswith(("gemini-1", "gemini-2"))


def to_gemini(request: ChatRequest, model: str, failures: Failures) -> dict[str, Any]:
    """The body of `:generateContent`.

    Args:
        request: the canonical request.
        model: who will answer; it decides how thinking is said.
        failures: makes the errors.

    Raises:
        ProviderError: of kind `request`, for what cannot be said.
    """
    check_fields(request, FIELDS, failures)
    asked: dict[str, Any] = {key: value for key, value in request.items() if value is not None}
    talk = conversation(request["messages"], failures, sign_foreign=has_levels(model))
    body: dict[str, Any] = {"contents": talk.contents}
    if talk.system:
        body["systemInstruction"] = {"parts": talk.system}
    body.update(_tools(asked, failures))
    config = {
        **{name: asked[field] for field, name in _GENERATION.items() if field in asked},
        **_limits(asked, failures),
        **_form(asked, failures),
        **_thinking(asked, model),
    }
    if config:
        body["generationConfig"] = config
    return body


def _limits(asked: Mapping[str, Any], failures: Failures) -> dict[str, Any]:
    said: dict[str, Any] = {}
    limit = asked.get("max_completion_tokens") or asked.get("max_tokens")
    if limit:
        said["maxOutputTokens"] = limit
    stop = asked.get("stop")
    if stop:
        said["stopSequences"] = [stop] if isinstance(stop, str) else list(stop)
        if len(said["stopSequences"]) > _MOST_STOPS:
            raise failures.inexpressible("stop", f"at most {_MOST_STOPS} sequences")
    return said


def _form(asked: Mapping[str, Any], failures: Failures) -> dict[str, Any]:
    form = asked.get("response_format") or {}
    kind = form.get("type", "text")
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"responseMimeType": "application/json"}
    if kind == "json_schema":
        schema = form["json_schema"].get("schema") or {"type": "object"}
        return {"responseMimeType": "application/json", "responseJsonSchema": schema}
    raise failures.inexpressible("response_format", f"{kind!r} is unknown")


def _thinking(asked: Mapping[str, Any], model: str) -> dict[str, Any]:
    effort = asked.get("reasoning_effort")
    if effort not in _LEVELS:
        return {}
    if has_levels(model):
        return {"thinkingConfig": {"thinkingLevel": _LEVELS[effort]}}
    return {"thinkingConfig": {"thinkingBudget": _BUDGETS[effort]}}


def _tools(asked: Mapping[str, Any], failures: Failures) -> dict[str, Any]:
    declarations = [_declaration(tool, failures) for tool in asked.get("tools") or ()]
    if not declarations:
        return {}
    said: dict[str, Any] = {"tools": [{"functionDeclarations": declarations}]}
    choice = asked.get("tool_choice")
    if choice is not None:
        said["toolConfig"] = {"functionCallingConfig": _choice(choice, failures)}
    return said


def _declaration(tool: Mapping[str, Any], failures: Failures) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not function:
        raise failures.inexpressible("tools", f"{tool.get('type')!r}: only functions exist here")
    made = {"name": function["name"]}
    if function.get("description"):
        made["description"] = function["description"]
    if function.get("parameters"):
        made["parametersJsonSchema"] = function["parameters"]
    return made


_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def _choice(choice: str | dict[str, Any], failures: Failures) -> dict[str, Any]:
    if isinstance(choice, str):
        if choice in _MODES:
            return {"mode": _MODES[choice]}
    elif choice["type"] == "function":
        return {"mode": "ANY", "allowedFunctionNames": [choice["function"]["name"]]}
    elif choice["type"] == "allowed_tools":
        allowed = choice["allowed_tools"]
        names = [(tool.get("function") or tool)["name"] for tool in allowed["tools"]]
        # Names are taken only where a call is forced or validated; AUTO would refuse them.
        mode = "ANY" if allowed["mode"] == "required" else "VALIDATED"
        return {"mode": mode, "allowedFunctionNames": names}
    raise failures.inexpressible("tool_choice", f"{choice!r} cannot be said here")
