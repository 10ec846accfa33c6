"""Translation of responses and streams for Anthropic Messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multirouter import ProviderError
from multirouter.model import FailureKind
from multirouter.providers.anthropic.response import from_anthropic
from multirouter.providers.anthropic.stream import AnthropicTranslator
from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.transport.sse import Event

ERRORS = ErrorFactory("up", Secret("key", "sk-abcdefghijkl"))


def answer(**fields: Any) -> Any:
    message = {"id": "msg_1", "model": "m", "content": [], "stop_reason": "end_turn", **fields}
    return from_anthropic(message, 1, ERRORS)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_stop_reason_becomes_finish_reason(reason: str, finish: str) -> None:
    """Every stop reason has a finish reason; an unknown one becomes `stop`."""
    assert answer(stop_reason=reason)["choices"][0]["finish_reason"] == finish


def test_prompt_tokens_include_the_cache() -> None:
    """OpenAI's prompt tokens include what the cache read and wrote."""
    usage = answer(
        usage={
            "input_tokens": 10,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 3,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 2},
        }
    )["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (
        18,
        7,
        25,
    )
    assert usage["prompt_tokens_details"] == {"cached_tokens": 5, "cache_write_tokens": 3}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 2}


def test_content_without_text() -> None:
    """Content is "" without any output, and None when there are only tool calls."""
    assert answer()["choices"][0]["message"]["content"] == ""
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    message = answer(content=[block], stop_reason="tool_use")["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"]["arguments"] == "{}"


def test_refusal_has_its_explanation() -> None:
    """The explanation of a refusal is the message's `refusal`."""
    details = {"type": "refusal", "category": "cyber", "explanation": "Not that."}
    message = answer(stop_reason="refusal", stop_details=details)["choices"][0]["message"]
    assert message["refusal"] == "Not that."


@pytest.mark.parametrize("body", [{}, {"content": []}, {"content": "x", "stop_reason": "end_turn"}])
def test_body_without_message_is_a_transport_failure(body: Any) -> None:
    """A 200 without a message is a failure of the provider."""
    with pytest.raises(ProviderError) as caught:
        from_anthropic(body, 1, ERRORS)
    assert caught.value.kind is FailureKind.TRANSPORT


# ── streams ─────────────────────────────────────────────────────────────────────────────────────


def read(*events: Any, include_usage: bool = False) -> tuple[list[Any], AnthropicTranslator]:
    translator = AnthropicTranslator(ERRORS, 1, include_usage=include_usage)
    chunks = [
        chunk
        for event in events
        for chunk in translator.feed(Event(event.get("type", ""), json.dumps(event).encode()))
    ]
    return chunks, translator


def test_unknown_events_blocks_and_deltas_are_skipped() -> None:
    """Additions of a newer API version are skipped; blocks of unknown types count as content."""
    chunks, translator = read(
        {"type": "message_start", "message": {"id": "m", "model": "x"}},
        {"type": "something_new", "x": 1},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use"}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": "{"},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "new_delta"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "ping"},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    )
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[1:] == [{"other_content": "server_tool_use"}] * 3
    assert translator.complete
    assert not translator.ended
    (last,) = translator.finish()
    assert last["choices"][0]["finish_reason"] == "stop"
    assert "usage" not in last


def test_call_without_deltas_has_arguments() -> None:
    """Input in the block's start, or no input at all, becomes a JSON text."""
    for given, arguments in (({"a": 1}, '{"a":1}'), ({}, "{}")):
        block = {"type": "tool_use", "id": "t", "name": "f", "input": given}
        chunks, _ = read(
            {"type": "content_block_start", "index": 0, "content_block": block},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": ""},
            },
            {"type": "content_block_stop", "index": 0},
        )
        calls = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks]
        assert calls[0]["id"] == "t"
        assert "".join(call["function"]["arguments"] for call in calls) == arguments


def test_redacted_thinking_is_kept() -> None:
    """A redacted block has no text and is kept for the next turn."""
    block = {"type": "redacted_thinking", "data": "xyz"}
    chunks, _ = read(
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_stop", "index": 0},
    )
    assert chunks[0]["choices"][0]["delta"] == {"thinking_blocks": [block]}


def test_text_in_block_start_is_emitted() -> None:
    """A text block may start with text."""
    chunks, _ = read(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}}
    )
    assert chunks[0]["choices"][0]["delta"] == {"content": "a"}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message_start"},
        {"type": "content_block_delta", "index": 5, "delta": {"type": "input_json_delta"}},
        {"type": "content_block_stop", "index": 5},
        [],
    ],
)
def test_malformed_events_are_invalid_chunks(event: Any) -> None:
    """An event without its documented shape is a failure of the provider."""
    translator = AnthropicTranslator(ERRORS, 1, include_usage=False)
    with pytest.raises(ProviderError, match="invalid chunk"):
        translator.feed(Event("", json.dumps(event).encode()))
