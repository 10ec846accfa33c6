"""What Anthropic's API rejects: fields, blocks, and settings that a model does not take.

Source: the API reference of Messages, "What's new" of the models and "Adaptive thinking", as of
2026-11, and errors that users have published.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from multirouter.testing.fakes.answers import SIGNATURE
from multirouter.testing.fakes.formats import require, require_known

_FIELDS = frozenset(
    {
        "model",
        "max_tokens",
        "messages",
        "system",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "tools",
        "tool_choice",
        "stream",
        "metadata",
        "thinking",
        "output_config",
        "service_tier",
        "container",
        "cache_control",
        "inference_geo",
        "speed",
        "context_management",
        "mcp_servers",
        "diagnostics",
    }
)
_BETA_FIELDS = {"context_management": "context-management", "mcp_servers": "mcp-client"}
"""Fields that need a feature in `anthropic-beta`."""

_BLOCKS = frozenset(
    {
        "text",
        "image",
        "document",
        "search_result",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "tool_result",
        "server_tool_use",
        "web_search_tool_result",
    }
)
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_VERSION = re.compile(r"claude-[a-z]+-(\d+)(?:[-.](\d{1,2}))?(?![\d])")
_UNSUPPORTED_KEYWORDS = frozenset(
    {"minimum", "maximum", "minLength", "maxLength", "multipleOf", "minItems", "maxItems"}
)
MAX_OUTPUT = 128_000


def version_of(model: str) -> tuple[int, int] | None:
    """The version in a model's name (`claude-opus-4-7`); None if there is none."""
    found = _VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else None


def check(headers: Mapping[str, str], body: Mapping[str, Any]) -> None:
    """Rejects what the API rejects.

    Raises:
        RequestRejected: as the API answers.
    """
    require_known(body, _FIELDS, "")
    beta = headers.get("anthropic-beta", "")
    for field, feature in _BETA_FIELDS.items():
        if body.get(field) is not None:
            require(feature in beta, f"{field}: Extra inputs are not permitted")
    require(isinstance(body.get("max_tokens"), int), "max_tokens: Field required")
    require(
        body["max_tokens"] <= MAX_OUTPUT,
        f"max_tokens: {body['max_tokens']} > {MAX_OUTPUT}, which is the maximum allowed number of "
        f"output tokens for {body.get('model')}",
    )
    turns = body.get("messages") or []
    require(turns and turns[0]["role"] == "user", "messages: first message must use the user role")
    _check_turns(turns, beta)
    for position, tool in enumerate(body.get("tools") or ()):
        require(
            _NAME.fullmatch(tool["name"]),
            f"tools.{position}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'",
        )
    _check_thinking(body)
    _check_model(body, version_of(body.get("model") or ""))
    form = (body.get("output_config") or {}).get("format") or {}
    if form.get("schema"):
        _check_schema(form["schema"])


def blocks_of(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The blocks of a turn.

    Raises:
        RequestRejected: it has none.
    """
    content = turn["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    require(blocks, "messages: content must be non-empty")
    return list(blocks)


def _check_turns(turns: list[dict[str, Any]], beta: str) -> None:
    open_calls: set[str] = set()
    called: list[str] = []
    for number, turn in enumerate(turns):
        if turn["role"] == "system":
            require("mid-conversation-system" in beta, "messages.role: must be user or assistant")
            continue
        require(turn["role"] in {"user", "assistant"}, "messages.role: must be user or assistant")
        blocks = blocks_of(turn)
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        require(
            open_calls == results,
            f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately"
            " after",
        )
        open_calls = {block["id"] for block in blocks if block["type"] == "tool_use"}
        called += [block["id"] for block in blocks if block["type"] == "tool_use"]
        require(len(called) == len(set(called)), "messages: `tool_use` ids must be unique")
        for place, block in enumerate(blocks):
            _check_block(block, f"messages.{number}.content.{place}")


def _check_block(block: Mapping[str, Any], path: str) -> None:
    kind = block["type"]
    require(kind in _BLOCKS, f"{path}: Input tag {kind!r} found using 'type' does not match")
    if kind == "text":
        require(block["text"].strip(), "messages: text content blocks must be non-empty")
    elif kind == "thinking":
        require(
            block.get("signature") == SIGNATURE, f"{path}: Invalid `signature` in `thinking` block"
        )
    elif kind == "tool_use":
        require(_ID.fullmatch(block["id"]), f"{path}.tool_use.id: should match ^[a-zA-Z0-9_-]+$")
        require(isinstance(block["input"], dict), f"{path}.tool_use.input: must be an object")
        require(_NAME.fullmatch(block["name"]), f"{path}.tool_use.name: String should match")


def _check_thinking(body: Mapping[str, Any]) -> None:
    thinking = body.get("thinking") or {"type": "disabled"}
    choice = body.get("tool_choice") or {"type": "auto"}
    if thinking["type"] == "disabled":
        require(body.get("temperature", 0) <= 1, "temperature: must be at most 1")
        return
    require(body.get("temperature", 1) == 1, "temperature: may only be 1 with thinking")
    require(choice["type"] in {"auto", "none"}, "Thinking may not be enabled when a tool is forced")
    if thinking["type"] != "enabled":
        return
    budget: Any = thinking.get("budget_tokens", 0)
    require(budget >= 1024, "thinking.enabled.budget_tokens: must be at least 1024")
    require(
        budget < body["max_tokens"], "`max_tokens` must be greater than `thinking.budget_tokens`"
    )
    turns = [turn for turn in body["messages"] if turn["role"] == "assistant"]
    if turns and any(block["type"] == "tool_use" for block in blocks_of(turns[-1])):
        first = blocks_of(turns[-1])[0]["type"]
        answered = any(b["type"] == "tool_result" for b in blocks_of(body["messages"][-1]))
        require(
            not answered or first in {"thinking", "redacted_thinking"},
            f"Expected `thinking` or `redacted_thinking`, but found `{first}`. When `thinking` is "
            "enabled, a final `assistant` message must start with a thinking block",
        )


def _check_model(body: Mapping[str, Any], version: tuple[int, int] | None) -> None:
    """Rejects what a model of this version does not take; unknown models take all."""
    last = body["messages"][-1]
    if last["role"] == "assistant":
        text = blocks_of(last)[-1].get("text", "")
        require(
            text == text.rstrip(), "final assistant content cannot end with trailing whitespace"
        )
    if version is None:
        return
    thinking = (body.get("thinking") or {}).get("type")
    effort = (body.get("output_config") or {}).get("effort")
    if version >= (4, 7):
        for field in ("temperature", "top_p", "top_k"):
            require(field not in body, f"`{field}` is deprecated for this model.")
        require(
            thinking != "enabled",
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" '
            'and "output_config.effort" to control thinking behavior.',
        )
    if version >= (4, 6):
        require(
            last["role"] != "assistant",
            "This model does not support assistant message prefill. The conversation must end with "
            "a user message.",
        )
    else:
        require(thinking != "adaptive", "adaptive thinking is not supported on this model")
        require(effort is None, "This model does not support the effort parameter.")
        require(
            "temperature" not in body or "top_p" not in body,
            "`temperature` and `top_p` cannot both be specified for this model.",
        )


def _check_schema(schema: Any) -> None:
    for inner in _schemas(schema):
        if inner.get("type") == "object":
            require(
                inner.get("additionalProperties") is False,
                "output_config.format.schema: For 'object' type, 'additionalProperties' must be "
                "explicitly set to false",
            )
        for keyword in _UNSUPPORTED_KEYWORDS & inner.keys():
            require(
                condition=False,
                message=f"output_config.format.schema: For {inner.get('type')!r} type, property "
                f"{keyword!r} is not supported",
            )


def _schemas(schema: Any) -> Iterator[Mapping[str, Any]]:
    """A schema and those inside of it."""
    if isinstance(schema, Mapping):
        yield schema
        for inner in (schema.get("properties") or {}).values():
            yield from _schemas(inner)
        yield from _schemas(schema.get("items"))
