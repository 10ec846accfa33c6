"""The knobs of streams: what is refused at birth, and how chunks are read."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.chat.chunk_reader import Misused
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
        ({"on_interrupt": "contine"}, "did you mean 'continue'"),
        ({"on_divergence": "rise"}, "did you mean 'raise'"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], named: str) -> None:
    """A bad setting is refused by name, with the near miss."""
    with pytest.raises(ConfigurationError, match=named):
        StreamPolicy(**settings)


def chunk(**delta: Any) -> dict[str, Any]:
    """A chat chunk of the first choice."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def test_chat_chunks() -> None:
    """Content, text, size and end are read from deltas; text can be cut; thinking is no text."""
    read = StreamPolicy().reader(chunk(role="assistant"))
    assert not read.content(chunk(role="assistant"))
    assert read.text(chunk(content="hey")) == "hey"
    assert read.size is not None
    assert read.size(chunk(reasoning_content="hmm")) == 3
    assert read.cut is not None
    assert read.cut(chunk(content="hey"), "y") == chunk(content="y")
    assert read.proves_end is not None
    assert not read.proves_end(chunk())
    assert read.only_thinks(chunk(reasoning="hmm"))
    assert not read.only_thinks(chunk(reasoning="hmm", content="x"))
    assert not read.only_thinks(chunk())
    assert not read.goes_beyond_text(chunk(content="x", reasoning="y"))
    assert read.goes_beyond_text(chunk(tool_calls=[{}]))


@pytest.mark.parametrize(
    ("first", "text", "size", "cut"),
    [("word", "word", 4, True), (b"word", "", 4, False), (object(), "", None, False)],
)
def test_other_chunks(first: Any, text: str, size: int | None, cut: bool) -> None:
    """Strings are their own text; bytes have a size; of objects nothing is known."""
    read = StreamPolicy().reader(first)
    assert (read.text(first), read.cut is not None) == (text, cut)
    assert (read.size and read.size(first)) == size
    assert read.content(first)
    assert read.proves_end is None
    assert not read.only_thinks(first)
    assert read.goes_beyond_text(first) is not bool(text)


@pytest.mark.parametrize("empty", ["", b""])
def test_empty_chunks_bring_nothing(empty: Any) -> None:
    """An empty string, or empty bytes, are no content."""
    assert not StreamPolicy().reader(empty).content(empty)


def test_a_text_of_the_users_own_cannot_be_cut() -> None:
    """Who reads chunks in his own way is asked for whole ones: nobody else can make them."""
    read = StreamPolicy(text=lambda c: c["t"]).reader({"t": "four"})
    assert read.size is not None
    assert (read.text({"t": "four"}), read.size({"t": "four"}), read.cut) == ("four", 4, None)
    assert StreamPolicy(text=str.strip).reader("x").cut is None


def test_hooks_are_named_when_they_break() -> None:
    """The error says which hook raised what, and keeps the cause."""
    read = StreamPolicy(content=lambda _: 1 / 0).reader("x")
    with pytest.raises(Misused, match=r"StreamPolicy.content raised ZeroDivisionError") as caught:
        read.content("x")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_each_of_several_choices_must_end() -> None:
    """With `n` in the request the end is proven by a finish reason of every choice."""
    first = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    second = {"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]}
    read = StreamPolicy().reader(first, {"messages": [], "n": 2})
    assert read.proves_end is not None
    assert [read.proves_end(c) for c in (first, first, second)] == [False, False, True]
    other = StreamPolicy().reader(first, {"messages": [], "n": 2})
    assert other.proves_end is not None
    assert not other.proves_end(second)
