"""What OpenAI-compatible services reject: by the model's name, as far as models differ.

Source: the API references of OpenAI, DeepSeek and Mistral as of 2026-11, and errors that users have
published.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.testing.fakes.formats import require

_MESSAGE = frozenset(
    {
        "role",
        "content",
        "name",
        "tool_calls",
        "tool_call_id",
        "refusal",
        "audio",
        "annotations",
        "function_call",
    }
)
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")
_GPT = re.compile(r"gpt-(\d+)(?:\.(\d+))?(?!\d)")
_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_TAKES_REASONING = ("deepseek", "kimi", "glm", "qwen")
MAX_OUTPUT = {"gpt-4o": 16_384, "gpt-4.1": 32_768, "gpt-5": 128_000}
"""The longest output of some models, tokens."""


def check(body: Mapping[str, Any]) -> None:
    """Rejects what the service of the model rejects.

    Raises:
        RequestRejected: as the service answers.
    """
    model = str(body.get("model") or "")
    known = _MESSAGE
    if any(name in model for name in _TAKES_REASONING):
        known = _MESSAGE | {"reasoning_content", "prefix", "partial"}
    if "mistral" in model:
        known = _MESSAGE - {"refusal", "annotations"} | {"prefix"}
    _check_messages(body["messages"], known, model)
    for position, tool in enumerate(body.get("tools") or ()):
        _known(tool, {"type", "function", "custom"}, f"tools[{position}]")
        name = (tool.get("function") or tool.get("custom") or {}).get("name", "")
        require(NAME.fullmatch(name), f"Invalid 'tools[{position}].function.name': {name[:70]!r}")
    user = body.get("user") or ""
    require(
        len(user) <= 64,
        "Invalid 'user': string too long. Expected a string with maximum length 64, but got a "
        f"string with length {len(user)} instead.",
    )
    if "mistral" in model:
        for field in ("user", "stream_options", "max_completion_tokens", "logit_bias"):
            require(body.get(field) is None, f"Extra inputs are not permitted: {field}")
    _check_model(body, model)


def _check_model(body: Mapping[str, Any], model: str) -> None:
    found = _GPT.match(model)
    version = (int(found[1]), int(found[2] or 0)) if found else None
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or 0
    for name, longest in MAX_OUTPUT.items():
        if model.startswith(name):
            require(
                limit <= longest,
                f"max_tokens is too large: {limit}. This model supports at most {longest} "
                f"completion tokens, whereas you provided {limit}.",
            )
    effort = body.get("reasoning_effort")
    if version is not None and version < (5, 0):
        require(effort is None, "Unrecognized request argument supplied: reasoning_effort")
    if version is None or version < (5, 0) or "chat" in model:
        return
    require(
        "max_tokens" not in body,
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.",
    )
    for field in _SAMPLING:
        require(
            body.get(field) in {None, 0 if "penalty" in field else 1},
            f"Unsupported value: '{field}' does not support {body.get(field)} with this model. "
            "Only the default (1) value is supported.",
        )
    efforts = _efforts(version)
    require(
        effort is None or effort in efforts,
        f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model. "
        f"Supported values are: {', '.join(map(repr, efforts))}.",
    )
    require(
        version < (5, 6) or not body.get("tools") or effort == "none",
        "Function tools with reasoning_effort are not supported for this model in "
        "/v1/chat/completions. To use function tools, use /v1/responses or set reasoning_effort "
        "to 'none'.",
    )


def _efforts(version: tuple[int, int]) -> tuple[str, ...]:
    if version < (5, 1):
        return ("minimal", "low", "medium", "high")
    if version < (5, 2):
        return ("none", "low", "medium", "high")
    return ("none", "low", "medium", "high", "xhigh")


def _check_messages(messages: Iterable[Any], known: Iterable[str], model: str) -> None:
    waiting: list[str] = []
    for position, message in enumerate(messages):
        _known(message, known, f"messages[{position}]")
        role, content = message["role"], message.get("content")
        for part in content if isinstance(content, list) else ():
            _check_part(part, role, position)
        if role == "tool":
            id_ = message.get("tool_call_id")
            require(id_ in waiting, f"messages[{position}]: no tool call with the id {id_!r}")
            waiting.remove(id_)
            continue
        require(
            not waiting,
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            f"to each 'tool_call_id'. The following had no response: {', '.join(waiting)}",
        )
        if role == "assistant":
            waiting = [_id_of(call, position, model) for call in message.get("tool_calls") or ()]
            require(
                content is not None or waiting or message.get("refusal"),
                f"Invalid value for 'content': expected a string, got null: messages[{position}]",
            )
            needs = "deepseek" in model and waiting
            require(
                not needs or message.get("reasoning_content"),
                "The `reasoning_content` in the thinking mode must be passed back to the API.",
            )


def _check_part(part: Mapping[str, Any], role: str, position: int) -> None:
    _known(part, {"type", part["type"], "prompt_cache_breakpoint"}, f"messages[{position}].content")
    require(
        part["type"] == "text" or role == "user",
        f"Invalid 'messages[{position}]'. Image URLs are only allowed for messages with role "
        f"'user', but this message with role '{role}' contains an image URL.",
    )


def _id_of(call: Mapping[str, Any], position: int, model: str) -> str:
    id_ = str(call["id"])
    path = f"messages[{position}].tool_calls"
    require(len(id_) <= 40, f"Invalid '{path}[0].id': string too long, maximum length 40")
    _known(call, {"id", "type", "function", "custom"}, path)
    require(
        "mistral" not in model or _MISTRAL_ID.fullmatch(id_),
        f"Tool call id was {id_} but must be a-z, A-Z, 0-9, with a length of 9.",
    )
    name = (call.get("function") or call.get("custom") or {}).get("name", "")
    require(NAME.fullmatch(name), f"Invalid '{path}[0].function.name': {name[:70]!r}")
    return id_


def _known(item: Mapping[str, Any], known: Iterable[str], path: str) -> None:
    for field in item:
        require(
            field in known,
            f"{path}: Additional properties are not allowed ({field!r} was unexpected)",
        )
