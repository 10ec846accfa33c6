"""Translation of responses and streams for Gemini's generateContent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multirouter import ProviderError
from multirouter.model import FailureKind
from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.gemini.response import from_gemini
from multirouter.providers.gemini.stream import GeminiTranslator
from multirouter.providers.transport.sse import Event

ERRORS = ErrorFactory("up", Secret("key", "sk-abcdefghijkl"))


def answer(*candidates: Any, **fields: Any) -> Any:
    return from_gemini({"candidates": list(candidates), **fields}, "m", 1, ERRORS)


def candidate(reason: str = "STOP", *parts: Any) -> dict[str, Any]:
    content = {"content": {"role": "model", "parts": list(parts)}} if parts else {}
    return {"finishReason": reason, **content}


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("LANGUAGE", "content_filter"),
    ],
)
def test_finish_reasons(reason: str, finish: str) -> None:
    """A candidate without content is a choice with empty content."""
    (choice,) = answer(candidate(reason))["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == (finish, "")


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "OTHER", "UNEXPECTED_TOOL_CALL"])
def test_failure_finish_reasons(reason: str) -> None:
    """Without any output the kind is `server`; with output it is an answer."""
    with pytest.raises(ProviderError) as caught:
        answer(candidate(reason))
    assert (caught.value.kind, caught.value.code) == (FailureKind.SERVER, reason)
    assert answer(candidate(reason, {"text": "a"}))["choices"][0]["finish_reason"] == "stop"


def test_calls_without_ids_get_new_ones() -> None:
    """New ids differ within and between responses; existing ids are kept."""
    parts = [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "f", "args": {"a": 1}}}]
    given = {"functionCall": {"name": "f", "id": "mine"}}
    ids = [
        call["id"]
        for response in ("r1", "r2", "")
        for call in answer(candidate("STOP", *parts, given), responseId=response)["choices"][0][
            "message"
        ]["tool_calls"]
    ]
    assert ids.count("mine") == 3
    assert len(set(ids)) == 7


def test_reasoning_and_signatures_are_separate() -> None:
    """Reasoning is not content; signatures are in extra_content of message and call."""
    message = answer(
        candidate(
            "STOP",
            {"text": "hm", "thought": True},
            {"text": "a", "thoughtSignature": "T"},
            {"functionCall": {"name": "f"}, "thoughtSignature": "C"},
        )
    )["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("hm", "a")
    assert message["extra_content"] == {"google": {"thought_signature": "T"}}
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "C"}}


def test_usage_includes_thinking_and_tool_prompts() -> None:
    """OpenAI's completion tokens include reasoning, its prompt tokens those of tool prompts."""
    usage = answer(
        candidate(),
        usageMetadata={
            "promptTokenCount": 10,
            "toolUsePromptTokenCount": 2,
            "cachedContentTokenCount": 4,
            "candidatesTokenCount": 5,
            "thoughtsTokenCount": 3,
        },
    )["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (12, 8)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 4
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 3


def test_blocked_prompt_is_content_filter() -> None:
    """A block reason without candidates ends with `content_filter`; it is not an error."""
    (choice,) = answer(promptFeedback={"blockReason": "SAFETY"})["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert "SAFETY" in choice["message"]["refusal"]


@pytest.mark.parametrize("body", [{}, {"promptFeedback": {}}, {"candidates": [{}]}])
def test_response_without_answer_is_transport(body: Any) -> None:
    """No candidate, or one without content and finish reason, is a failure of the provider."""
    with pytest.raises(ProviderError) as caught:
        from_gemini(body, "m", 1, ERRORS)
    assert caught.value.kind is FailureKind.TRANSPORT


# ── streams ─────────────────────────────────────────────────────────────────────────────────────


def read(*events: Any, candidates: int = 1) -> tuple[list[Any], GeminiTranslator]:
    translator = GeminiTranslator(
        ERRORS, 1, "requested-model", candidates=candidates, include_usage=False
    )
    chunks = []
    for event in events:
        chunks.extend(translator.feed(Event("", json.dumps(event).encode())))
    return chunks, translator


def test_call_index_counts_over_chunks() -> None:
    """A call's index counts the calls of the whole message; the finish reason is `tool_calls`."""
    one = {"candidates": [candidate("", {"functionCall": {"name": "f"}})]}
    two = {"candidates": [candidate("STOP", {"functionCall": {"name": "g"}})], "usageMetadata": {}}
    chunks, translator = read(one, two)
    calls = [c for k in chunks for c in k["choices"][0]["delta"].get("tool_calls", ())]
    assert [(call["index"], call["function"]["name"]) for call in calls] == [(0, "f"), (1, "g")]
    assert calls[0]["id"] != calls[1]["id"]
    (last,) = translator.finish()
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    assert last["model"] == "requested-model"


def test_last_usage_wins() -> None:
    """Usage is cumulative, so it is not added up."""
    first = {"candidates": [candidate("", {"text": "a"})], "usageMetadata": {"promptTokenCount": 1}}
    last = {
        "candidates": [candidate()],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 4},
    }
    _, translator = read(first, last)
    (end,) = translator.finish()
    assert end["usage"]["total_tokens"] == 5


def test_failure_finish_reason_in_stream() -> None:
    """A stream that ends in a failure without any output is a failure."""
    thought = {"candidates": [candidate("", {"text": "hm", "thought": True})]}
    failed = {"candidates": [candidate("MALFORMED_FUNCTION_CALL")]}
    with pytest.raises(ProviderError) as caught:
        read(thought, failed)
    assert caught.value.kind is FailureKind.SERVER


def test_error_in_a_list() -> None:
    """Front ends wrap errors in a list, in streams too."""
    error = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m"}}
    with pytest.raises(ProviderError) as caught:
        read([error])
    assert caught.value.kind is FailureKind.RATE_LIMIT


def test_usage_only_chunk_has_no_effect() -> None:
    """A chunk with usage alone is neither the end nor an error."""
    chunks, translator = read({"usageMetadata": {"promptTokenCount": 1}})
    assert (chunks, translator.complete) == ([], False)


@pytest.mark.parametrize("event", [3, {"candidates": 3}, {"candidates": [3]}])
def test_malformed_events_are_invalid_chunks(event: Any) -> None:
    """An event without its documented shape is a failure of the provider."""
    with pytest.raises(ProviderError, match="invalid chunk"):
        read(event)
