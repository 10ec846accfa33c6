"""What a chat answer says, out of plain dicts of which anything may be missing."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.chat import completions as chat


def test_text_is_that_of_the_first_choice() -> None:
    """Whole answers and chunks, with or without content, and other choices in between."""
    assert chat.text_of({"choices": [{"message": {"content": "a"}}]}) == "a"
    assert chat.text_of({"choices": [{"index": 1, "delta": {"content": "b"}}]}) == ""
    assert chat.text_of({"choices": [{"delta": {"content": None}}]}) == ""
    assert chat.text_of({"choices": [{}]}) == ""
    assert chat.text_of({"choices": None}) == ""


@pytest.mark.parametrize("field", chat.CONTENT_FIELDS)
def test_every_field_is_content(field: str) -> None:
    """Thinking, tools, refusals and audio are content; a role is not."""
    assert chat.has_content({"choices": [{"delta": {field: "x"}}]})
    assert not chat.has_content({"choices": [{"delta": {"role": "assistant", field: None}}]})


def test_what_goes_beyond_text() -> None:
    """Other choices and everything but content and thinking cannot be continued by text."""
    assert chat.goes_beyond_text({"choices": [{"index": 1, "delta": {"content": "x"}}]})
    assert not chat.goes_beyond_text({"choices": [{"index": 1, "delta": {}}]})
    for field in set(chat.CONTENT_FIELDS) - {"content"} - chat.THINKING_FIELDS:
        assert chat.goes_beyond_text({"choices": [{"delta": {field: "x"}}]})


def test_with_text_leaves_the_rest() -> None:
    """Only the first choice changes, in a copy; its role has come, and its tokens are others."""
    delta = {"content": "ab", "role": "assistant", "tool_calls": [{}]}
    given: dict[str, Any] = {
        "id": "c",
        "choices": [{"index": 0, "delta": delta, "logprobs": {}}, {"index": 1}],
    }
    cut = chat.with_text(given, "b")
    assert cut["choices"][0] == {"index": 0, "delta": {"content": "b", "tool_calls": [{}]}}
    assert (cut["id"], cut["choices"][1]) == ("c", {"index": 1})
    assert delta["content"] == "ab"
    assert delta["role"] == "assistant"


def test_requests_that_go_on() -> None:
    """A prefill adds the assistant's turn, an instruction a turn of the user's after it."""
    request = {"model": "m", "messages": [{"role": "user", "content": "q"}]}
    assert chat.is_request(request)
    assert not chat.is_request("q")
    roles = [m["role"] for m in chat.prefilled(request, "so far")["messages"]]
    assert roles == ["user", "assistant"]
    turns = chat.instructed(request, "so far")["messages"]
    assert turns[1]["content"] == "so far"
    assert turns[2] == {"role": "user", "content": chat.CONTINUE}
    assert len(request["messages"]) == 1


def test_a_turn_that_the_request_has_begun_goes_on() -> None:
    """A prefill of the caller's own and the text so far are one turn; nothing is changed."""
    begun: dict[str, Any] = {"role": "assistant", "content": "One", "name": "n"}
    request: dict[str, Any] = {"messages": ({"role": "user", "content": "q"}, begun)}
    assert chat.is_request(request)
    assert chat.prefilled(request, " two")["messages"][1:] == [{**begun, "content": "One two"}]
    assert chat.instructed(request, " two")["messages"][1]["content"] == "One two"
    assert begun["content"] == "One"
    parts: dict[str, Any] = {"messages": [{"role": "assistant", "content": [{"type": "text"}]}]}
    assert len(chat.prefilled(parts, "x")["messages"]) == 2
    assert len(chat.prefilled({"messages": []}, "x")["messages"]) == 1


@pytest.mark.parametrize(
    ("request_", "choices"), [({"n": 3}, 3), ({"n": None}, 1), ({}, 1), ("q", 1), ({"n": "2"}, 1)]
)
def test_how_many_choices(request_: Any, choices: int) -> None:
    """`n`, when it says something sensible."""
    assert chat.choices_of(request_) == choices


def test_is_a_chunk() -> None:
    """A mapping with a list of choices, an empty one too."""
    assert chat.is_chunk({"choices": []})
    assert not chat.is_chunk({"choices": None})
    assert not chat.is_chunk("choices")


def test_tool_calls() -> None:
    """A piece of a tool call in any choice."""
    assert chat.has_tool_calls({"choices": [{"delta": {}}, {"delta": {"tool_calls": [{}]}}]})
    assert not chat.has_tool_calls({"choices": [{"delta": {"tool_calls": []}}]})


def test_the_last_word_on_usage() -> None:
    """Usage is whole in the chunk that ends an answer, and in one without choices after it."""
    assert chat.is_last({"choices": [], "usage": {}})
    assert chat.is_last({"choices": [{"finish_reason": "stop"}]})
    assert not chat.is_last({"choices": [{"delta": {}}]})


def test_one_choice_that_broke_off_is_enough() -> None:
    """Of several choices that end in one chunk each may be the one that failed."""
    ends = [{"index": n, "finish_reason": end} for n, end in enumerate((None, "stop", "error"))]
    assert chat.broken_off({"choices": ends}) == "error"
    assert chat.broken_off({"choices": ends[:2]}) == ""
    assert chat.broken_off({"choices": None}) == ""


def test_every_choice_must_have_ended() -> None:
    """Of two choices the end of one proves nothing, in whatever chunk the other one ends."""
    finished = chat.Finished(2)
    one = {"index": 0, "finish_reason": "stop"}
    assert not finished({"choices": [one, {"index": 1, "delta": {"content": "more"}}]})
    assert not finished({"choices": [one]})
    assert finished({"choices": [{"index": 1, "finish_reason": "length"}]})
