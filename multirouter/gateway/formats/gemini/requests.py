"""A request in Gemini's format as a canonical one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from multirouter.gateway.formats.gemini import fields
from multirouter.gateway.formats.gemini.contents import Conversation
from multirouter.gateway.formats.gemini.fields import choice, items, read, text, wrong
from multirouter.gateway.formats.gemini.schema import json_schema
from multirouter.gateway.routing.request_options import EXTENSIONS

_SAME = {
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
"""Tokens of a thinking budget up to which an effort is meant; more is `xhigh`.

Source: the table of Google's OpenAI-compatible endpoint, as in `providers.gemini.request`.
"""

_LEVELS = frozenset({"minimal", "low", "medium", "high", "xhigh"})
_UNFILTERED = frozenset({"BLOCK_NONE", "OFF", "HARM_BLOCK_THRESHOLD_UNSPECIFIED"})
_MODES = {
    "MODE_UNSPECIFIED": "auto",
    "AUTO": "auto",
    "VALIDATED": "auto",
    "ANY": "required",
    "NONE": "none",
}
_AS_IT_LIKES = -1
"""The thinking budget that leaves it to the model."""


def from_generate(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The canonical request.

    Args:
        body: a body of `:generateContent`.
        model: out of the address.

    Raises:
        Refusal: 400 naming the field, for what is malformed or cannot be said.
    """
    given = read(body, "", fields.REQUEST)
    asked = {name: given[name] for name in EXTENSIONS if name in given}
    asked["model"] = model
    talk = Conversation()
    if "systemInstruction" in given:
        talk.instruct(given["systemInstruction"])
    for content, where in items(given.get("contents") or [], "contents"):
        talk.add(content, where)
    if all(message["role"] == "system" for message in talk.messages):
        raise wrong("contents", "at least one is required")
    asked["messages"] = talk.messages
    _check_safety(given.get("safetySettings") or [])
    asked.update(_tools(given))
    asked.update(_settings(given.get("generationConfig") or {}))
    return asked


def includes_thoughts(body: Mapping[str, Any]) -> bool:
    """Whether a request that `from_generate` has accepted wants to be told the thoughts."""
    config = read(body, "", fields.REQUEST).get("generationConfig") or {}
    thinking = read(config, "generationConfig", fields.GENERATION).get("thinkingConfig") or {}
    return bool(read(thinking, "thinkingConfig", fields.THINKING).get("includeThoughts"))


def _settings(config: Any) -> dict[str, Any]:
    where = "generationConfig"
    given = read(config, where, fields.GENERATION)
    asked = {name: given[field] for field, name in _SAME.items() if field in given}
    if not asked.get("stop"):
        asked.pop("stop", None)
    return {**asked, **_form(given, where), **_thinking(given.get("thinkingConfig") or {}, where)}


def _form(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The form of the answer as a response format."""
    mime = given.get("responseMimeType") or "text/plain"
    schema = given.get("responseJsonSchema")
    if schema is None and given.get("responseSchema") is not None:
        schema = json_schema(given["responseSchema"], f"{where}.responseSchema")
    if mime == "text/plain" and schema is None:
        return {}
    if mime != "application/json":
        raise wrong(f"{where}.responseMimeType", "must be application/json, or text/plain alone")
    if schema is None:
        return {"response_format": {"type": "json_object"}}
    form = {"name": "answer", "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def _thinking(config: Any, where: str) -> dict[str, Any]:
    where = f"{where}.thinkingConfig"
    given = read(config, where, fields.THINKING)
    level, budget = given.get("thinkingLevel"), given.get("thinkingBudget")
    if level is not None and level != "THINKING_LEVEL_UNSPECIFIED":
        effort = choice(str(level).lower(), f"{where}.thinkingLevel", _LEVELS)
        return {"reasoning_effort": effort}
    if budget is None or budget == _AS_IT_LIKES:
        return {}
    if type(budget) is not int or budget < 0:
        raise wrong(f"{where}.thinkingBudget", "must be a number of tokens, or -1")
    return {"reasoning_effort": next((e for most, e in _EFFORTS if budget <= most), "xhigh")}


def _check_safety(settings: Any) -> None:
    """Filters are Google's own: to ask for none is harmless elsewhere, others cannot be had."""
    for setting, where in items(settings, "safetySettings"):
        threshold = read(setting, where, fields.SAFETY).get("threshold")
        if threshold is not None:  # filters exist at Google alone
            choice(threshold, f"{where}.threshold", _UNFILTERED)


def _tools(given: Mapping[str, Any]) -> dict[str, Any]:
    tools = list(_declared(given.get("tools") or []))
    config = read(given.get("toolConfig") or {}, "toolConfig", fields.TOOL_CONFIG)
    where = "toolConfig.functionCallingConfig"
    calling = read(config.get("functionCallingConfig") or {}, where, fields.CALLING)
    if not tools:
        return {}
    mode = choice(calling.get("mode") or "AUTO", f"{where}.mode", _MODES)
    if mode == "NONE":
        return {"tools": tools, "tool_choice": "none"}
    names = calling.get("allowedFunctionNames") or []
    if names:
        tools = _allowed(tools, names, f"{where}.allowedFunctionNames")
    return {"tools": tools, **({"tool_choice": _MODES[mode]} if calling else {})}


def _allowed(tools: list[Any], names: Any, where: str) -> list[Any]:
    """Only these are offered: that every provider understands, a list of names not all."""
    if not isinstance(names, list):
        raise wrong(where, "must be a list")
    allowed = [tool for tool in tools if tool["function"]["name"] in names]
    if not allowed:
        raise wrong(where, "names none of the declared functions")
    return allowed


def _declared(tools: Any) -> Iterator[dict[str, Any]]:
    for tool, where in items(tools, "tools"):
        if isinstance(tool, Mapping) and (others := tool.keys() - _DECLARATIONS):
            raise wrong(f"{where}.{min(others)}", "runs at Google alone")
        declarations = read(tool, where, fields.TOOL).get("functionDeclarations") or []
        for declaration, path in items(declarations, f"{where}.functionDeclarations"):
            yield {"type": "function", "function": _function(declaration, path)}


_DECLARATIONS = {"functionDeclarations", "function_declarations"}


def _function(declaration: Any, where: str) -> dict[str, Any]:
    given = read(declaration, where, fields.DECLARATION)
    function: dict[str, Any] = {"name": text(given.get("name"), f"{where}.name")}
    if given.get("description"):
        function["description"] = given["description"]
    parameters = given.get("parametersJsonSchema")
    if parameters is None and given.get("parameters") is not None:
        parameters = json_schema(given["parameters"], f"{where}.parameters")
    if parameters is not None:
        function["parameters"] = parameters
    return function
