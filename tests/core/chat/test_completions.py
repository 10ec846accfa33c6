"""Functions on chat responses, chunks and requests, of which any field may be missing."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.chat import completions as chat


def test_text_of_the_first_choice() -> None:
    """Responses and chunks, with and without content, and with other choices."""
    assert chat.text_of({"choices": [{"message": {"content": "a"}}]}) == "a"
    assert chat.text_of({"choices": [{"index": 1, "delta": {"content": "b"}}]}) == ""
    assert chat.text_of({"choices": [{"delta": {"content": None}}]}) == ""
    assert chat.text_of({"choices": [{}]}) == ""
    assert chat.text_of({"choices": None}) == ""


@pytest.mark.parametrize("field", chat.CONTENT_FIELDS)
def test_content_fields(field: str) -> None:
    """Reasoning, tool calls, refusals and audio are content; a role is not."""
    assert chat.has_content({"choices": [{"delta": {field: "x"}}]})
    assert not chat.has_content({"choices": [{"delta": {"role": "assistant", field: None}}]})


def test_non_text_content() -> None:
    """Other choices, and every field except content and reasoning, are more than text."""
    assert chat.has_non_text_content({"choices": [{"index": 1, "delta": {"content": "x"}}]})
    assert not chat.has_non_text_content({"choices": [{"index": 1, "delta": {}}]})
    for field in set(chat.CONTENT_FIELDS) - {"content"} - chat.REASONING_FIELDS:
        assert chat.has_non_text_content({"choices": [{"delta": {field: "x"}}]})


def test_with_text_changes_a_copy_of_the_first_choice() -> None:
    """Only the first choice changes; its role and log probabilities are removed."""
    delta = {"content": "ab", "role": "assistant", "tool_calls": [{}]}
    chunk: dict[str, Any] = {
        "id": "c",
        "choices": [{"index": 0, "delta": delta, "logprobs": {}}, {"index": 1}],
    }
    edited = chat.with_text(chunk, "b")
    assert edited["choices"][0] == {"index": 0, "delta": {"content": "b", "tool_calls": [{}]}}
    assert (edited["id"], edited["choices"][1]) == ("c", {"index": 1})
    assert delta["content"] == "ab"
    assert delta["role"] == "assistant"


def test_requests_that_continue_an_answer() -> None:
    """A prefill adds an assistant turn; an instruction also adds a user turn after it."""
    request = {"model": "m", "messages": [{"role": "user", "content": "q"}]}
    assert chat.is_request(request)
    assert not chat.is_request("q")
    roles = [m["role"] for m in chat.with_prefill(request, "so far")["messages"]]
    assert roles == ["user", "assistant"]
    turns = chat.with_continue_instruction(request, "so far")["messages"]
    assert turns[1]["content"] == "so far"
    assert turns[2] == {"role": "user", "content": chat.CONTINUE_INSTRUCTION}
    assert len(request["messages"]) == 1


def test_a_prefill_of_the_request_is_extended() -> None:
    """A prefill in the request and the delivered text are one turn of a new request."""
    begun: dict[str, Any] = {"role": "assistant", "content": "One", "name": "n"}
    request: dict[str, Any] = {"messages": ({"role": "user", "content": "q"}, begun)}
    assert chat.is_request(request)
    assert chat.with_prefill(request, " two")["messages"][1:] == [{**begun, "content": "One two"}]
    assert chat.with_continue_instruction(request, " two")["messages"][1]["content"] == "One two"
    assert begun["content"] == "One"
    parts: dict[str, Any] = {"messages": [{"role": "assistant", "content": [{"type": "text"}]}]}
    assert len(chat.with_prefill(parts, "x")["messages"]) == 2
    assert len(chat.with_prefill({"messages": []}, "x")["messages"]) == 1


@pytest.mark.parametrize(
    ("request_", "choices"), [({"n": 3}, 3), ({"n": None}, 1), ({}, 1), ("q", 1), ({"n": "2"}, 1)]
)
def test_choice_count(request_: Any, choices: int) -> None:
    """`n` when it is a valid number, else 1."""
    assert chat.choice_count(request_) == choices


def test_is_chunk() -> None:
    """A chunk is a mapping with a list of choices, which may be empty."""
    assert chat.is_chunk({"choices": []})
    assert not chat.is_chunk({"choices": None})
    assert not chat.is_chunk("choices")


def test_tool_calls() -> None:
    """A part of a tool call in any choice."""
    assert chat.has_tool_calls({"choices": [{"delta": {}}, {"delta": {"tool_calls": [{}]}}]})
    assert not chat.has_tool_calls({"choices": [{"delta": {"tool_calls": []}}]})


def test_usage_is_final() -> None:
    """Usage is final in the chunk that ends an answer, and in a later one without choices."""
    assert chat.usage_is_final({"choices": [], "usage": {}})
    assert chat.usage_is_final({"choices": [{"finish_reason": "stop"}]})
    assert not chat.usage_is_final({"choices": [{"delta": {}}]})


def test_an_error_finish_reason_of_any_choice_counts() -> None:
    """When several choices end in one chunk, any of them may have failed."""
    ends = [{"index": n, "finish_reason": end} for n, end in enumerate((None, "stop", "error"))]
    assert chat.error_finish_reason({"choices": ends}) == "error"
    assert chat.error_finish_reason({"choices": ends[:2]}) == ""
    assert chat.error_finish_reason({"choices": None}) == ""


def test_every_choice_must_have_ended() -> None:
    """With two choices the end of one does not end the answer."""
    finished = chat.AllChoicesFinished(2)
    one = {"index": 0, "finish_reason": "stop"}
    assert not finished({"choices": [one, {"index": 1, "delta": {"content": "more"}}]})
    assert not finished({"choices": [one]})
    assert finished({"choices": [{"index": 1, "finish_reason": "length"}]})


TOOL_CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize("place", ["message", "delta"])
@pytest.mark.parametrize(
    ("fields", "content", "tools"),
    [
        ({"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}, True, True),
        ({"role": "assistant", "function_call": {"name": "f"}}, True, True),
        ({"role": "assistant", "content": "text"}, True, False),
        ({"role": "assistant", "content": None, "refusal": "no"}, True, False),
        ({"role": "assistant", "content": "", "tool_calls": []}, False, False),
        ({}, False, False),
        (None, False, False),
    ],
)
def test_whole_responses_are_read_like_chunks(
    place: str, fields: Any, content: bool, tools: bool
) -> None:
    """An agent asks the same of an answer that was not streamed."""
    answer = {"choices": [{"index": 0, place: fields, "finish_reason": "tool_calls"}]}
    assert (chat.has_content(answer), chat.has_tool_calls(answer)) == (content, tools)
    assert chat.is_finished(answer)
