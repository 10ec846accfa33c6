"""Translates a request in Gemini's format to the canonical one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from multirouter.gateway.formats.gemini import fields
from multirouter.gateway.formats.gemini.contents import Conversation
from multirouter.gateway.formats.gemini.fields import (
    read_choice,
    read_fields,
    read_list,
    read_string,
)
from multirouter.gateway.formats.gemini.schema import json_schema
from multirouter.gateway.formats.translated import Translated
from multirouter.gateway.http.http_error import invalid_field, shown
from multirouter.gateway.routing.request_options import EXTENSION_FIELDS
from multirouter.providers.native.client_request import Losses

_RENAMED = {
    "temperature": "temperature",
    "topP": "top_p",
    "candidateCount": "n",
    "maxOutputTokens": "max_completion_tokens",
    "stopSequences": "stop",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
}
_EFFORTS = ((0, "none"), (1024, "low"), (8192, "medium"), (24576, "high"))
"""Largest thinking budget, tokens, of each effort; a larger one is `xhigh`.

Source: the table of Google's OpenAI-compatible endpoint, as in `providers.gemini.request`.
"""

_LEVELS = frozenset({"minimal", "low", "medium", "high", "xhigh"})
_UNFILTERED = ("BLOCK_NONE", "OFF", "HARM_BLOCK_THRESHOLD_UNSPECIFIED")
_MODES = {
    "MODE_UNSPECIFIED": "auto",
    "AUTO": "auto",
    "VALIDATED": "auto",
    "ANY": "required",
    "NONE": "none",
}
_DYNAMIC = -1
"""The thinking budget that leaves the effort to the model."""


def from_generate_content(body: Mapping[str, Any], model: str) -> Translated:
    """The canonical request.

    Args:
        body: a body of `:generateContent`.
        model: the model in the URL.

    Raises:
        HTTPError: 400 naming the field, for what is malformed.
    """
    losses = Losses()
    given = read_fields(body, "", fields.REQUEST, losses)
    request = {name: given[name] for name in EXTENSION_FIELDS if name in given}
    request["model"] = model
    conversation = Conversation(losses)
    if "systemInstruction" in given:
        conversation.add_system_instruction(given["systemInstruction"])
    for content, path in read_list(given.get("contents") or [], "contents"):
        conversation.add_content(content, path)
    if all(message["role"] == "system" for message in conversation.messages):
        raise invalid_field("contents", "must have at least one turn")
    request["messages"] = conversation.messages
    _check_safety(given.get("safetySettings") or [], losses)
    request.update(_tools(given, losses))
    request.update(_settings(given.get("generationConfig") or {}, losses))
    only_native = [name for name in losses.names if name in fields.ONLY_NATIVE]
    return Translated(request, losses.names, only_native)


def includes_thoughts(body: Mapping[str, Any]) -> bool:
    """Whether a request that `from_generate_content` has accepted asks for the thoughts."""
    ignored = Losses()
    given = read_fields(body, "", fields.REQUEST, ignored)
    config = given.get("generationConfig") or {}
    given = read_fields(config, "generationConfig", fields.GENERATION, ignored)
    thinking = given.get("thinkingConfig") or {}
    given = read_fields(thinking, "thinkingConfig", fields.THINKING, ignored)
    return bool(given.get("includeThoughts"))


def _settings(config: Any, losses: Losses) -> dict[str, Any]:
    path = "generationConfig"
    given = read_fields(config, path, fields.GENERATION, losses)
    request = {name: given[field] for field, name in _RENAMED.items() if field in given}
    if not request.get("stop"):
        request.pop("stop", None)
    request.update(_response_format(given, path))
    request.update(_thinking(given.get("thinkingConfig") or {}, path, losses))
    return request


def _response_format(given: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The format of the answer as `response_format`."""
    mime = given.get("responseMimeType") or "text/plain"
    schema = given.get("responseJsonSchema")
    if schema is None and given.get("responseSchema") is not None:
        schema = json_schema(given["responseSchema"], f"{path}.responseSchema")
    if mime == "text/plain" and schema is None:
        return {}
    if mime != "application/json":
        allowed = "application/json, or text/plain without a schema"
        raise invalid_field(f"{path}.responseMimeType", f"must be {allowed}, got {mime!r}")
    if schema is None:
        return {"response_format": {"type": "json_object"}}
    named = {"name": "answer", "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _thinking(config: Any, path: str, losses: Losses) -> dict[str, Any]:
    path = f"{path}.thinkingConfig"
    given = read_fields(config, path, fields.THINKING, losses)
    level, budget = given.get("thinkingLevel"), given.get("thinkingBudget")
    if level is not None and level != "THINKING_LEVEL_UNSPECIFIED":
        effort = read_choice(str(level).lower(), f"{path}.thinkingLevel", _LEVELS)
        return {"reasoning_effort": effort}
    if budget is None or budget == _DYNAMIC:
        return {}
    if type(budget) is not int or budget < 0:
        problem = f"must be an integer >= 0 (tokens), or -1, got {shown(budget)}"
        raise invalid_field(f"{path}.thinkingBudget", problem)
    return {"reasoning_effort": next((e for largest, e in _EFFORTS if budget <= largest), "xhigh")}


def _check_safety(settings: Any, losses: Losses) -> None:
    """Records filters, which only Google has; a request without filters needs none elsewhere."""
    for setting, path in read_list(settings, "safetySettings"):
        threshold = read_fields(setting, path, fields.SAFETY, losses).get("threshold")
        if threshold is not None and threshold not in _UNFILTERED:
            losses.add("safetySettings.threshold")


def _tools(given: Mapping[str, Any], losses: Losses) -> dict[str, Any]:
    tools = list(_declared(given.get("tools") or [], losses))
    config = read_fields(given.get("toolConfig") or {}, "toolConfig", fields.TOOL_CONFIG, losses)
    path = "toolConfig.functionCallingConfig"
    calling = read_fields(config.get("functionCallingConfig") or {}, path, fields.CALLING, losses)
    if not tools:
        return {}
    mode = read_choice(calling.get("mode") or "AUTO", f"{path}.mode", _MODES)
    if mode == "NONE":
        return {"tools": tools, "tool_choice": "none"}
    names = calling.get("allowedFunctionNames") or []
    if names:
        tools = _allowed(tools, names, f"{path}.allowedFunctionNames")
    return {"tools": tools, **({"tool_choice": _MODES[mode]} if calling else {})}


def _allowed(tools: list[Any], names: Any, path: str) -> list[Any]:
    """The allowed tools: every provider supports fewer tools, but not all a list of names."""
    if not isinstance(names, list):
        raise invalid_field(path, f"must be a list, got {shown(names)}")
    allowed = [tool for tool in tools if tool["function"]["name"] in names]
    if not allowed:
        raise invalid_field(path, f"must name declared functions, got {shown(names)}")
    return allowed


def _declared(tools: Any, losses: Losses) -> Iterator[dict[str, Any]]:
    for tool, path in read_list(tools, "tools"):
        given = read_fields(tool, path, fields.TOOL, losses)
        declarations = given.get("functionDeclarations") or []
        for declaration, at in read_list(declarations, f"{path}.functionDeclarations"):
            yield {"type": "function", "function": _function(declaration, at, losses)}


def _function(declaration: Any, path: str, losses: Losses) -> dict[str, Any]:
    given = read_fields(declaration, path, fields.DECLARATION, losses)
    function: dict[str, Any] = {"name": read_string(given.get("name"), f"{path}.name")}
    if given.get("description"):
        function["description"] = given["description"]
    parameters = given.get("parametersJsonSchema")
    if parameters is None and given.get("parameters") is not None:
        parameters = json_schema(given["parameters"], f"{path}.parameters")
    if parameters is not None:
        function["parameters"] = parameters
    return function
