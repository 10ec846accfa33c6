"""StreamPolicy: invalid settings, and the readers of chunks."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.chat.chunk_reader import StreamHookError
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"first_token": 0.0}, "first_token"),
        ({"idle": -1.0}, "idle"),
        ({"total": float("nan")}, "total"),
        ({"min_rate": 0.0}, "min_rate"),
        ({"rate_window": float("inf")}, "rate_window"),
        ({"on_interrupt": "contine"}, "must be one of 'raise', 'continue', 'restart'"),
        ({"on_divergence": "rise"}, "must be one of 'instruct', 'raise', got 'rise'"),
    ],
)
def test_an_invalid_setting_is_named(settings: dict[str, Any], named: str) -> None:
    """The error names the setting, and suggests a close value."""
    with pytest.raises(ConfigurationError, match=named):
        StreamPolicy(**settings)


def chunk(**delta: Any) -> dict[str, Any]:
    """A chat chunk of the first choice."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def test_reader_of_chat_chunks() -> None:
    """Content, text, size and end come from deltas; text is replaceable; reasoning is no text."""
    read = StreamPolicy().reader(chunk(role="assistant"))
    assert not read.content(chunk(role="assistant"))
    assert read.text(chunk(content="hey")) == "hey"
    assert read.size is not None
    assert read.size(chunk(reasoning_content="hmm")) == 3
    assert read.replace_text is not None
    assert read.replace_text(chunk(content="hey"), "y") == chunk(content="y")
    assert read.proves_end is not None
    assert not read.proves_end(chunk())
    assert read.is_reasoning_only(chunk(reasoning="hmm"))
    assert not read.is_reasoning_only(chunk(reasoning="hmm", content="x"))
    assert not read.is_reasoning_only(chunk())
    assert not read.has_non_text_content(chunk(content="x", reasoning="y"))
    assert read.has_non_text_content(chunk(tool_calls=[{}]))


@pytest.mark.parametrize(
    ("first", "text", "size", "replaceable"),
    [("word", "word", 4, True), (b"word", "", 4, False), (object(), "", None, False)],
)
def test_readers_of_other_chunks(
    first: Any, text: str, size: int | None, replaceable: bool
) -> None:
    """A string is its own text, bytes have a size, an object has neither."""
    read = StreamPolicy().reader(first)
    assert (read.text(first), read.replace_text is not None) == (text, replaceable)
    assert (read.size and read.size(first)) == size
    assert read.content(first)
    assert read.proves_end is None
    assert not read.is_reasoning_only(first)
    assert read.has_non_text_content(first) is not bool(text)


@pytest.mark.parametrize("empty", ["", b""])
def test_empty_chunks_have_no_content(empty: Any) -> None:
    """An empty string and empty bytes have no content."""
    assert not StreamPolicy().reader(empty).content(empty)


def test_text_of_a_user_hook_cannot_be_replaced() -> None:
    """With `text=` a chunk cannot be rebuilt with another text."""
    read = StreamPolicy(text=lambda c: c["t"]).reader({"t": "four"})
    assert read.size is not None
    assert (read.text({"t": "four"}), read.size({"t": "four"}), read.replace_text) == (
        "four",
        4,
        None,
    )
    assert StreamPolicy(text=str.strip).reader("x").replace_text is None


def test_an_error_of_a_hook_names_the_hook() -> None:
    """The error names the hook and the exception, which is its cause."""
    read = StreamPolicy(content=lambda _: 1 / 0).reader("x")
    with pytest.raises(
        StreamHookError, match=r"StreamPolicy.content raised ZeroDivisionError"
    ) as caught:
        read.content("x")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_every_choice_must_end() -> None:
    """With `n` in the request, the end is proven by a finish reason of every choice."""
    first = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    second = {"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]}
    read = StreamPolicy().reader(first, {"messages": [], "n": 2})
    assert read.proves_end is not None
    assert [read.proves_end(c) for c in (first, first, second)] == [False, False, True]
    other = StreamPolicy().reader(first, {"messages": [], "n": 2})
    assert other.proves_end is not None
    assert not other.proves_end(second)
