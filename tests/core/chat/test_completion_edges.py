"""Chunks of chat completions: choices without an index, roles, ends, and formats of the output."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.chat import completions
from multirouter.core.rolling_window import RollingCounts


def chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A chunk of these choices."""
    return {"choices": list(choices), **more}


def test_the_role_is_left_out_in_the_middle_of_an_answer() -> None:
    """Of every choice; a chunk without a role is the same object."""
    with_role = chunk(
        {"index": 0, "delta": {"role": "assistant", "content": "a"}}, {"index": 1}, id="x"
    )
    assert completions.without_role(with_role) == {
        "choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {}}],
        "id": "x",
    }
    for plain in ({}, chunk(), chunk({"delta": None}), chunk({"delta": {"content": "role"}})):
        assert completions.without_role(plain) is plain


@pytest.mark.parametrize(
    ("output", "has"),
    [
        ({"type": "json_object"}, True),
        ({"type": "json_schema", "json_schema": {}}, True),
        ({"type": "text"}, False),
        ({}, False),
        (None, False),
        ("json", False),
    ],
)
def test_a_format_of_the_output(output: Any, has: bool) -> None:
    """Plain text is none."""
    assert completions.has_output_format({"response_format": output}) is has
    assert not completions.has_output_format({})


def test_the_ends_of_all_choices() -> None:
    """Of as many as were requested, or of those that began; without an index it is the first."""
    ends = completions.AllChoicesFinished(2)
    assert not ends.all_begun()
    assert not ends(chunk({"delta": {}}))
    assert not ends.all_begun()
    assert not ends(chunk({"index": 0, "finish_reason": "stop"}))
    assert ends.all_begun()
    assert not ends(chunk({"index": 1, "delta": {}}))
    assert not ends.all_begun()
    assert ends(chunk({"index": 1, "finish_reason": "stop"}))
    assert ends.all_begun()
    first = completions.AllChoicesFinished(1)
    first(chunk({"index": 0, "delta": {}}))
    assert first(chunk({"finish_reason": "stop"}))
    assert first.all_begun()


@pytest.mark.parametrize(
    ("delta", "characters"),
    [
        ({"content": "abc"}, 3),
        ({"reasoning_content": "abc"}, 3),
        ({"reasoning": "abc"}, 3),
        ({"refusal": "abc"}, 3),
        ({"content": "a", "refusal": "bc"}, 3),
        ({"tool_calls": [{"function": {"arguments": "abc"}}, {}]}, 3),
        ({"function_call": {"arguments": "abc"}}, 3),
        ({"content": None}, 0),
    ],
)
def test_the_characters_of_a_chunk(delta: dict[str, Any], characters: int) -> None:
    """Of all that a model writes."""
    assert completions.characters_of(chunk({"delta": delta})) == characters
    assert completions.characters_of(chunk({"delta": delta}, {"delta": delta})) == 2 * characters


def test_the_text_of_the_first_choice() -> None:
    """Without an index it is the first; an empty field is no content."""
    replaced = completions.with_text(chunk({"delta": {"content": "a"}}, {"index": 1}), "b")
    assert replaced["choices"] == [{"delta": {"content": "b"}}, {"index": 1}]
    assert not completions.has_non_text_content(chunk({"delta": {"content": "a"}}))
    assert not completions.has_non_text_content(chunk({"delta": {"content": "a", "refusal": None}}))
    assert completions.has_non_text_content(chunk({"index": 1, "delta": {"content": "a"}}))
    assert completions.has_non_text_content(chunk({"delta": {"refusal": "no"}}))


def test_successes_since_the_start() -> None:
    """Those that left the window, and those before it was cleared, included."""
    counts = RollingCounts(10.0)
    assert counts.successes == 0
    for now in (0.0, 0.0, 50.0, 100.0):
        counts.record(now, failed=False)
        counts.record(now, failed=True)
    assert (counts.calls, counts.failures, counts.successes) == (2, 1, 4)
    counts.clear()
    assert (counts.calls, counts.successes) == (0, 4)
    counts.record(100.0, failed=False)
    counts.clear()
    assert counts.successes == 5
