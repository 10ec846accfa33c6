"""Translates a response of OpenAI's Responses API to a canonical response."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.providers.answer_checks import check_choices
from multirouter.providers.canonical import (
    Answer,
    ChatCompletion,
    FinishReason,
    FunctionCall,
    ToolCall,
    Usage,
)
from multirouter.providers.chunks import nested_counts, token_count, usage
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.openai.responses.reasoning_state import summary_text, thinking_block


def from_response(body: Mapping[str, Any], errors: ErrorFactory) -> ChatCompletion:
    """Returns the canonical response.

    Raises:
        ProviderError: of kind `transport`, when the body is not a response; or the failure that
            it reports.
    """
    output = body.get("output")
    if not isinstance(output, list):
        raise errors.invalid_response("the response has no output")
    check_status(body, errors)
    with errors.reading_response():
        items = [item for item in output if isinstance(item, Mapping)]
        answer = answer_of(items)
        counts = body.get("usage")
        response: ChatCompletion = {
            "id": str(body.get("id") or ""),
            "object": "chat.completion",
            "created": int(body.get("created_at") or 0),
            "model": str(body.get("model") or ""),
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish_reason(
                        body, called="tool_calls" in answer, refused=bool(answer.get("refusal"))
                    ),
                    "message": answer,
                    "logprobs": _logprobs(items),
                }
            ],
            "usage": usage_from(counts) if isinstance(counts, Mapping) else None,
        }
        check_choices(response)
        return response


def check_status(body: Mapping[str, Any], errors: ErrorFactory) -> None:
    """Raises for a response that reports a failure.

    Raises:
        ProviderError: of the kind that it reports.
    """
    if body.get("error"):
        raise errors.reported(body, {})
    status = str(body.get("status"))
    if status in {"failed", "cancelled"}:
        raise errors.generation_failed(
            f"the answer is incomplete: its status is {status}", code=status
        )


def finish_reason(body: Mapping[str, Any], *, called: bool, refused: bool) -> FinishReason:
    """The finish reason of a response that has ended.

    Args:
        body: the response.
        called: whether it has calls of tools.
        refused: whether the model refused, in words.
    """
    if body.get("status") == "incomplete":
        details = body.get("incomplete_details") or {}
        return "content_filter" if details.get("reason") == "content_filter" else "length"
    if refused:
        return "content_filter"
    return "tool_calls" if called else "stop"


def usage_from(counts: object) -> Usage:
    """Returns usage; both formats include cached and reasoning tokens in the totals."""
    inputs = nested_counts(counts, "input_tokens_details")
    outputs = nested_counts(counts, "output_tokens_details")
    return usage(
        prompt=token_count(counts, "input_tokens"),
        completion=token_count(counts, "output_tokens"),
        cached=token_count(inputs, "cached_tokens"),
        written=token_count(inputs, "cache_write_tokens"),
        reasoning=token_count(outputs, "reasoning_tokens"),
    )


def tool_call(item: Mapping[str, Any]) -> ToolCall | None:
    """The canonical tool call of an item; None for an item that is none."""
    call_id, kind = item.get("call_id"), str(item.get("type"))
    if not isinstance(call_id, str) or not kind.endswith("_call"):
        return None
    if kind == "custom_tool_call":
        custom = {"name": item["name"], "input": item.get("input") or ""}
        return {"id": call_id, "type": "custom", "custom": custom}
    arguments = item.get("arguments")
    if not isinstance(arguments, str):
        return None
    function: FunctionCall = {"name": str(item.get("name") or kind), "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def answer_of(items: Iterable[Mapping[str, Any]]) -> Answer:
    """The assistant's message in output items."""
    parts, calls, blocks, reasoning = [], [], [], []
    for item in items:
        kind = item.get("type")
        call = tool_call(item)
        if kind == "message":
            parts += item["content"]
        elif kind == "reasoning":
            reasoning.append(summary_text(item))
            blocks.append(thinking_block(item))
        elif call is not None:
            calls.append(call)
    text = "".join(part.get("text") or "" for part in parts)
    answer: Answer = {
        "role": "assistant",
        "content": text or (None if calls else ""),
        "refusal": "".join(part.get("refusal") or "" for part in parts) or None,
    }
    if calls:
        answer["tool_calls"] = calls
    if any(blocks):
        answer["thinking_blocks"] = [block for block in blocks if block is not None]
    if any(reasoning):
        answer["reasoning_content"] = "\n\n".join(filter(None, reasoning))
    annotations = [one for part in parts for one in part.get("annotations") or ()]
    if annotations:
        answer["annotations"] = [nested_annotation(one) for one in annotations]
    return answer


def nested_annotation(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """A citation as chat completions have it: its fields are nested under its type."""
    kind = str(annotation.get("type"))
    return {"type": kind, kind: {name: annotation[name] for name in annotation if name != "type"}}


def _logprobs(items: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    parts = (part for item in items if item.get("type") == "message" for part in item["content"])
    content = [one for part in parts for one in part.get("logprobs") or ()]
    return {"content": content, "refusal": None} if content else None
