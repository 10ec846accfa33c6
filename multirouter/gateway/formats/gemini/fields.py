"""Fields of Gemini's requests: which have a counterpart, and how to read them.

All others are left out for providers of other formats. Google's own get the client's own body.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from multirouter.gateway.http.http_error import invalid_field, shown
from multirouter.gateway.routing.request_options import EXTENSION_FIELDS
from multirouter.providers.field_support import Fields, dropped, rejected, translated
from multirouter.providers.native.client_request import Losses

_SNAKE = re.compile(r"_([a-z])")
_POSITION = re.compile(r"\[\d+\]")
_OWN = translated("an option of the gateway")
_GOOGLE_ONLY = rejected("is supported by Google's own API only")

ONLY_NATIVE = ("cachedContent", "generationConfig.responseModalities")
"""Fields without which an answer would be to another request: only Google's own API has them."""

REQUEST: Fields = MappingProxyType(
    {
        **dict.fromkeys(EXTENSION_FIELDS, _OWN),
        "cachedContent": rejected("is supported by Google's own API only", ""),
        "contents": translated("`messages`"),
        "generationConfig": translated("see `GENERATION`"),
        "labels": dropped("labels for Google's own records"),
        "model": dropped("the URL names it"),
        "safetySettings": translated("nothing; filters other than BLOCK_NONE and OFF are rejected"),
        "serviceTier": dropped("other providers name their tiers differently"),
        "store": dropped("the gateway stores nothing"),
        "systemInstruction": translated("a system message"),
        "toolConfig": translated("`tool_choice`"),
        "tools": translated("`tools`; those that only Google can run are rejected"),
    }
)
GENERATION: Fields = MappingProxyType(
    {
        "candidateCount": translated("`n`"),
        "frequencyPenalty": translated("`frequency_penalty`"),
        "logprobs": translated("`top_logprobs`"),
        "maxOutputTokens": translated("`max_completion_tokens`"),
        "mediaResolution": rejected(
            "is not supported by other providers", "MEDIA_RESOLUTION_UNSPECIFIED"
        ),
        "presencePenalty": translated("`presence_penalty`"),
        "responseJsonSchema": translated("`response_format`"),
        "responseLogprobs": translated("`logprobs`"),
        "responseMimeType": translated("`response_format`"),
        "responseModalities": rejected('must be ["TEXT"]', [], ["TEXT"]),
        "responseSchema": translated("`response_format`, as JSON Schema"),
        "seed": translated("`seed`"),
        "stopSequences": translated("`stop`"),
        "temperature": translated("`temperature`"),
        "thinkingConfig": translated("`reasoning_effort`; thoughts are returned if included"),
        "topK": dropped("it changes only how an answer is sampled"),
        "topP": translated("`top_p`"),
    }
)
CONTENT: Fields = MappingProxyType(dict.fromkeys(("role", "parts"), translated("a message")))
PART: Fields = MappingProxyType(
    {
        "codeExecutionResult": _GOOGLE_ONLY,
        "executableCode": _GOOGLE_ONLY,
        "fileData": translated("the URL of an image or a file"),
        "functionCall": translated("a tool call"),
        "functionResponse": translated("a tool's message"),
        "inlineData": translated("an image, audio or a file"),
        "partMetadata": dropped("data of the client alone"),
        "text": translated("text"),
        "thought": translated("`reasoning_content`, for services that need it"),
        "thoughtSignature": translated("`extra_content`, for Gemini's models"),
    }
)
CALL: Fields = MappingProxyType(dict.fromkeys(("id", "name", "args"), translated("a tool call")))
RESPONSE: Fields = MappingProxyType(
    {
        **dict.fromkeys(("id", "name", "response"), translated("a tool's message")),
        "parts": translated("media in a tool's message"),
        "scheduling": rejected("is not supported", "SCHEDULING_UNSPECIFIED"),
        "willContinue": rejected("must be false: a tool's result is sent as a whole", False),
    }
)
MEDIA: Fields = MappingProxyType(
    {
        **dict.fromkeys(("data", "fileUri", "mimeType"), translated("an image, audio or a file")),
        "displayName": dropped("a display name"),
    }
)
TOOL: Fields = MappingProxyType({"functionDeclarations": translated("`tools`")})
DECLARATION: Fields = MappingProxyType(
    {
        "behavior": rejected("must be BLOCKING", "BLOCKING"),
        "description": translated("`description`"),
        "name": translated("`name`"),
        "parameters": translated("`parameters`, as JSON Schema"),
        "parametersJsonSchema": translated("`parameters`"),
        "response": dropped("the schema of a tool's result, which other formats lack"),
        "responseJsonSchema": dropped("as `response`"),
    }
)
TOOL_CONFIG: Fields = MappingProxyType(
    {
        "functionCallingConfig": translated("`tool_choice`"),
        "includeServerSideToolInvocations": rejected(
            "must be false: server-side tools are supported by Google's own API only", False
        ),
        "retrievalConfig": _GOOGLE_ONLY,
    }
)
CALLING: Fields = MappingProxyType(
    {
        "allowedFunctionNames": translated("the subset of `tools` that is sent"),
        "mode": translated("`tool_choice`"),
        "streamFunctionCallArguments": dropped("calls are always sent whole"),
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
        "threshold": translated("nothing, if it disables the filter"),
    }
)


def read_fields(message: Any, path: str, fields: Fields, losses: Losses) -> dict[str, Any]:
    """A message's fields by their names in camel case, without those that are left out.

    Args:
        message: the message; Google accepts names in snake case as well, and so does the gateway.
        path: its path in the request, for errors; "" for the request itself.
        fields: the treatment of each field.
        losses: records the fields without a counterpart, which are left out.

    Raises:
        HTTPError: 400, if it is no object.
    """
    if not isinstance(message, Mapping):
        raise invalid_field(path or "the request", f"must be an object, got {shown(message)}")
    kept: dict[str, Any] = {}
    for key, value in message.items():
        name = key if key in fields else camel_case(key)
        field = fields.get(name)
        if value is None:
            continue
        if field is not None and field.treatment == "translated":
            kept[name] = value
        elif field is None or not any(value == harmless for harmless in field.harmless):
            field_path = f"{path}.{name}" if path else name
            losses.add(_POSITION.sub("", field_path))
    return kept


def read_list(value: Any, path: str) -> list[tuple[Any, str]]:
    """The items of a repeated field, each with its path.

    Raises:
        HTTPError: 400, if it is not a list.
    """
    if not isinstance(value, list):
        raise invalid_field(path, f"must be a list, got {shown(value)}")
    return [(item, f"{path}[{position}]") for position, item in enumerate(value)]


def read_string(value: Any, path: str) -> str:
    """A string that must not be empty.

    Raises:
        HTTPError: 400.
    """
    if not isinstance(value, str) or not value:
        raise invalid_field(path, f"must be a non-empty string, got {shown(value)}")
    return value


def read_choice(value: Any, path: str, choices: Collection[str]) -> str:
    """A string that must be one of several.

    Raises:
        HTTPError: 400, naming them.
    """
    if not isinstance(value, str) or value not in choices:
        allowed = ", ".join(sorted(choices))
        raise invalid_field(path, f"must be one of {allowed}, got {shown(value)}")
    return value


def camel_case(name: str) -> str:
    """`system_instruction` as `systemInstruction`."""
    return _SNAKE.sub(lambda match: match[1].upper(), name)
