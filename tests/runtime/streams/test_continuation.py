"""Continuation of a broken stream: order of the approaches, matching of repeated text."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.runtime.streams.continuation import Delivered, Diverged, Matcher
from tests.core.kit import World, provider
from tests.scenarios.scripted_streams import CHAT, chat_chunk

READ = StreamPolicy().reader("")


def split(text: str, cuts: Iterable[int]) -> list[str]:
    """`text` split at these positions."""
    at = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(at)]


@given(
    text=some.text(max_size=30),
    remainder=some.text(max_size=10),
    cuts=some.lists(some.integers(0, 99)),
)
def test_only_the_new_text_passes_however_chunks_are_split(
    text: str, remainder: str, cuts: list[int]
) -> None:
    """For any chunks of the same answer, what passes is exactly what was not delivered."""
    matcher = Matcher(text)
    new = [n for p in split(text + remainder, cuts) for n in matcher.new_part(p, READ, last=False)]
    assert "".join(new) == remainder
    assert matcher.done


@given(text=some.text(min_size=1, max_size=30), other=some.text(min_size=1, max_size=30))
def test_a_different_answer_diverges(text: str, other: str) -> None:
    """A different answer never passes, unless it first repeats all that was delivered."""
    matcher = Matcher(text)
    try:
        new = "".join(matcher.new_part(other, READ, last=False))
    except Diverged:
        assert not text.startswith(other)
        assert not other.startswith(text)
    else:
        assert other == text + new or (text.startswith(other) and not new)


def test_an_answer_that_ends_too_soon_diverges() -> None:
    """An end before the delivered text was repeated means another answer."""
    with pytest.raises(Diverged):
        Matcher("one two").new_part("one", READ, last=True)


def test_a_chunk_that_cannot_be_split_diverges() -> None:
    """Where chunks cannot be split, the delivered text must end at the end of a chunk."""
    read = StreamPolicy(text=lambda c: c["t"]).reader({"t": ""})
    assert list(Matcher("ab").new_part({"t": "ab"}, read, last=False)) == []
    with pytest.raises(Diverged):
        Matcher("ab").new_part({"t": "abc"}, read, last=False)
    assert list(Matcher("ab").new_part({"t": "ab"}, read, last=True)) == [{"t": "ab"}]


def modes(delivered: Delivered, request: Any = CHAT, **settings: Any) -> list[str | None]:
    """The modes of the approaches, in order."""
    member = World([provider("b", **settings)]).member("b")
    return [approach.mode for approach in delivered.approaches(member, request)]


def interrupted(request: Any, *texts: str, **settings: Any) -> Delivered:
    """An answer that was interrupted after these chunks."""
    policy = StreamPolicy(on_interrupt="continue", **settings)
    delivered = Delivered(policy, request)
    for text in texts:
        chunk = chat_chunk(text) if request is CHAT else text
        delivered.note(chunk, policy.reader(chunk))
    delivered.interrupted = True
    return delivered


def test_the_order_of_the_approaches() -> None:
    """The user's hook alone; else a prefill where supported, matching, then the instruction."""
    assert modes(interrupted(CHAT, "x"), capabilities=["prefill"]) == [
        "prefill",
        "match",
        "instruct",
    ]
    assert modes(interrupted(CHAT, "x")) == ["match", "instruct"]
    assert modes(interrupted(CHAT, "x", on_divergence="raise")) == ["match"]
    assert modes(interrupted(CHAT, "x", resume=lambda q, _: q), capabilities=["prefill"]) == [
        "resume"
    ]
    assert modes(interrupted("q", "x"), "q", capabilities=["prefill"]) == ["match"]
    assert modes(interrupted(CHAT), capabilities=["prefill"]) == ["match", "instruct"]
    assert modes(interrupted(CHAT, " \n"), capabilities=["prefill"]) == ["match", "instruct"]
    uninterrupted = interrupted(CHAT, "x")
    uninterrupted.interrupted = False
    assert modes(uninterrupted) == [None]


@pytest.mark.parametrize("kind", ["json_object", "json_schema", "invented_grammar"])
def test_an_answer_of_a_given_form_is_only_matched(kind: str) -> None:
    """What another model would add need not make one such answer; the user's hook still does."""
    request = {**CHAT, "response_format": {"type": kind}}
    assert modes(interrupted(request, '{"a'), request, capabilities=["prefill"]) == ["match"]
    text = {**CHAT, "response_format": {"type": "text"}}
    assert modes(interrupted(text, "x"), text) == ["match", "instruct"]
    resumes = interrupted(request, "x", resume=lambda request, text: request)
    assert modes(resumes, request) == ["resume"]


def test_the_text_is_kept_only_for_continue() -> None:
    """Only `continue` keeps the text; the other modes count chunks."""
    for how in ("raise", "restart"):
        policy = StreamPolicy(on_interrupt=how)  # type: ignore[arg-type]
        delivered = Delivered(policy, "q")
        delivered.note("word", policy.reader("word"))
        assert (delivered.text, delivered.chunks) == ("", 1)
    assert interrupted("q", "a", "b").text == "ab"


def test_a_long_answer_is_kept_and_matched_without_copies() -> None:
    """A megabyte in 20,000 chunks costs a list of them, without a copy of the text for each."""
    words = [f"{number:049d} " for number in range(20_000)]
    text = "".join(words)
    delivered, matcher = Delivered(StreamPolicy(on_interrupt="continue"), "q"), Matcher(text)
    tracemalloc.start()
    try:
        for word in words:
            delivered.note(word, READ)
            assert matcher.new_part(word, READ, last=False) == ()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(text) // 4
    assert matcher.done
    assert delivered.text == text
