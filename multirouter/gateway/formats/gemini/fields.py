"""Gemini's messages, read field by field: what becomes of each, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from multirouter.gateway.http.error_responses import Refusal
from multirouter.gateway.routing.request_options import EXTENSIONS
from multirouter.providers.fields import Fields, dropped, refused, translated

_HUMP = re.compile(r"_([a-z])")
_OWN = translated("the gateway's own")
_GOOGLES = refused("runs at Google alone")

REQUEST: Fields = MappingProxyType(
    {
        **dict.fromkeys(EXTENSIONS, _OWN),
        "cachedContent": refused("what is cached there is at Google alone", ""),
        "contents": translated("`messages`"),
        "generationConfig": translated("the settings below"),
        "labels": dropped("labels for Google's own records"),
        "model": dropped("the address names it"),
        "safetySettings": translated("nothing: no filter is what others have; others are refused"),
        "serviceTier": dropped("tiers have other names elsewhere"),
        "store": dropped("there is no store"),
        "systemInstruction": translated("a system message"),
        "toolConfig": translated("`tool_choice`"),
        "tools": translated("`tools`; those that run at Google alone are refused"),
    }
)
GENERATION: Fields = MappingProxyType(
    {
        "candidateCount": translated("`n`"),
        "frequencyPenalty": translated("`frequency_penalty`"),
        "logprobs": translated("`top_logprobs`"),
        "maxOutputTokens": translated("`max_completion_tokens`"),
        "mediaResolution": refused("has no counterpart", "MEDIA_RESOLUTION_UNSPECIFIED"),
        "presencePenalty": translated("`presence_penalty`"),
        "responseJsonSchema": translated("`response_format`"),
        "responseLogprobs": translated("`logprobs`"),
        "responseMimeType": translated("`response_format`"),
        "responseModalities": refused("only text comes out of here", [], ["TEXT"]),
        "responseSchema": translated("`response_format`, as JSON Schema"),
        "seed": translated("`seed`"),
        "stopSequences": translated("`stop`"),
        "temperature": translated("`temperature`"),
        "thinkingConfig": translated("`reasoning_effort`; thoughts are told if included"),
        "topK": dropped("it changes only how an answer is drawn"),
        "topP": translated("`top_p`"),
    }
)
CONTENT: Fields = MappingProxyType(dict.fromkeys(("role", "parts"), translated("a message")))
PART: Fields = MappingProxyType(
    {
        "codeExecutionResult": _GOOGLES,
        "executableCode": _GOOGLES,
        "fileData": translated("an image's or a file's address"),
        "functionCall": translated("a tool call"),
        "functionResponse": translated("a tool's message"),
        "inlineData": translated("an image, a sound or a file"),
        "partMetadata": dropped("the client's own"),
        "text": translated("text"),
        "thought": translated("nothing: what was thought is not said again"),
        "thoughtSignature": translated("`extra_content`, for Gemini's models"),
    }
)
CALL: Fields = MappingProxyType(dict.fromkeys(("id", "name", "args"), translated("a tool call")))
RESPONSE: Fields = MappingProxyType(
    {
        **dict.fromkeys(("id", "name", "response"), translated("a tool's message")),
        "parts": refused("a tool's result must be an object here", []),
        "scheduling": refused("results come at once here", "SCHEDULING_UNSPECIFIED"),
        "willContinue": refused("results come whole here", False),
    }
)
MEDIA: Fields = MappingProxyType(
    {
        **dict.fromkeys(("data", "fileUri", "mimeType"), translated("an image, a sound, a file")),
        "displayName": dropped("a name for people"),
    }
)
TOOL: Fields = MappingProxyType({"functionDeclarations": translated("`tools`")})
DECLARATION: Fields = MappingProxyType(
    {
        "behavior": refused("calls are answered before the model goes on", "BLOCKING"),
        "description": translated("`description`"),
        "name": translated("`name`"),
        "parameters": translated("`parameters`, as JSON Schema"),
        "parametersJsonSchema": translated("`parameters`"),
        "response": dropped("what a tool answers, which nobody else is told"),
        "responseJsonSchema": dropped("as `response`"),
    }
)
TOOL_CONFIG: Fields = MappingProxyType(
    {
        "functionCallingConfig": translated("`tool_choice`"),
        "includeServerSideToolInvocations": refused("runs at Google alone", False),
        "retrievalConfig": _GOOGLES,
    }
)
CALLING: Fields = MappingProxyType(
    {
        "allowedFunctionNames": translated("the tools that are offered"),
        "mode": translated("`tool_choice`"),
        "streamFunctionCallArguments": dropped("calls come whole"),
    }
)
THINKING: Fields = MappingProxyType(
    dict.fromkeys(
        ("includeThoughts", "thinkingBudget", "thinkingLevel"), translated("`reasoning_effort`")
    )
)
SAFETY: Fields = MappingProxyType(
    {
        "category": translated("nothing"),
        "method": translated("nothing"),
        "threshold": translated("nothing, where it lets all pass"),
    }
)


def read(message: Any, where: str, fields: Fields) -> dict[str, Any]:
    """A message's fields by their names in camel case, without those that are dropped.

    Args:
        message: as it came; names in snake case are the same to Google, and so to us.
        where: its path in the request, for errors.
        fields: what becomes of each.

    Raises:
        Refusal: 400 naming the field.
    """
    if not isinstance(message, Mapping):
        raise wrong(where or "the request", "must be an object")
    kept: dict[str, Any] = {}
    for given, value in message.items():
        name = given if given in fields else camel(given)
        field = fields.get(name)
        path = f"{where}.{name}" if where else name
        if value is None or (field is not None and field.treatment == "dropped"):
            continue
        if field is None:
            raise wrong(path, "is unknown here")
        if field.treatment == "translated":
            kept[name] = value
        elif not any(value == harmless for harmless in field.harmless):
            raise wrong(path, field.note)
    return kept


def items(messages: Any, where: str) -> list[tuple[Any, str]]:
    """What a repeated field holds, each with its path.

    Raises:
        Refusal: 400, when it is no list.
    """
    if not isinstance(messages, list):
        raise wrong(where, "must be a list")
    return [(message, f"{where}[{place}]") for place, message in enumerate(messages)]


def text(value: Any, where: str) -> str:
    """A text that must be one and must not be empty.

    Raises:
        Refusal: 400.
    """
    if not isinstance(value, str) or not value:
        raise wrong(where, "is required, as a text")
    return value


def choice(value: Any, where: str, choices: Collection[str]) -> str:
    """A word that must be one of several.

    Raises:
        Refusal: 400, naming them.
    """
    if not isinstance(value, str) or value not in choices:
        raise wrong(where, f"must be one of {', '.join(sorted(choices))}")
    return value


def camel(name: str) -> str:
    """`system_instruction` as `systemInstruction`."""
    return _HUMP.sub(lambda found: found[1].upper(), name)


def wrong(where: str, why: str) -> Refusal:
    """The refusal of a field."""
    return Refusal(400, f"{where}: {why}", code="invalid_value", param=where)
