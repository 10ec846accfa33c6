"""What OpenAI's Responses API rejects: fields, items, and calls without outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.testing.fakes.formats import RequestRejected, require
from multirouter.testing.fakes.rules.openai import NAME

FIELDS = frozenset(
    {
        "background",
        "client_metadata",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)
"""Source: the types of the SDK openai 3.57, ResponseCreateParams, and Codex's `client_metadata`."""

ENCRYPTED = "gAAAAfake"
"""What encrypted reasoning of this service begins with."""

_ID_PREFIXES = {"message": "msg", "function_call": "fc", "reasoning": "rs"}
OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})
_CALLS = frozenset({"function_call", "custom_tool_call"})
_ITEMS = frozenset(
    {"message", "reasoning", "compaction", "item_reference", *_CALLS, *OUTPUTS}
    | {"local_shell_call", "local_shell_call_output", "tool_search_call", "tool_search_output"}
    | {"web_search_call", "additional_tools"}
)
_OUTPUT_PARTS = frozenset({"input_text", "input_image", "input_file"})
MIN_OUTPUT_TOKENS = 16


def check_items(items: Any) -> None:
    """Rejects items that the service rejects: calls without outputs, reasoning of others ...

    Raises:
        RequestRejected: as the service answers.
    """
    calls: dict[str, None] = {}
    outputs: set[str] = set()
    for item in items:
        kind = item.get("type") or "message"
        require(kind in _ITEMS, f"Invalid value: {kind!r} (input[].type)")
        prefix = _ID_PREFIXES.get(kind)
        id_ = item.get("id")
        require(
            prefix is None or id_ is None or id_.startswith(prefix),
            f"Invalid 'input[].id': '{id_}'. Expected an ID that begins with '{prefix}'.",
        )
        if kind == "message":
            roles = {"user", "assistant", "system", "developer"}
            require(item.get("role") in roles, f"Invalid value: {item.get('role')!r} (role)")
            _check_parts(item)
        elif kind in _CALLS:
            calls[item["call_id"]] = None
            require(len(item["call_id"]) <= 64, "Invalid 'input[].call_id': string too long")
            require(NAME.fullmatch(item["name"]), "Invalid 'input[].name': does not match pattern")
        elif kind in OUTPUTS:
            call_id = item["call_id"]
            missing = f"No tool call found for function call output with call_id {call_id}."
            require(call_id in calls, missing)
            outputs.add(call_id)
            output = item["output"]
            for part in output if isinstance(output, list) else ():
                require(part["type"] in _OUTPUT_PARTS, f"Invalid value: {part['type']!r} (type)")
        elif kind == "reasoning":
            encrypted = item.get("encrypted_content")
            wrong = "The encrypted content could not be verified."
            require(encrypted and encrypted.startswith(ENCRYPTED), wrong, "foreign-reasoning")
    for call_id in calls:
        require(call_id in outputs, f"No tool output found for function call {call_id}.")


def _check_parts(item: Mapping[str, Any]) -> None:
    content = item.get("content")
    if isinstance(content, str):
        return
    own = {"output_text", "refusal"}
    for part in content or ():
        if (part["type"] in own) != (item["role"] == "assistant"):
            raise RequestRejected(400, "request", f"Invalid value: {part['type']!r} (type)")
