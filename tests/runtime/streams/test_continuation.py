"""Who goes on with somebody else's answer: in what order of ways, and matched how."""

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
from tests.scenarios.tapes import CHAT, said

READ = StreamPolicy().reader("")


def pieces(text: str, cuts: Iterable[int]) -> list[str]:
    """`text` cut at these places."""
    at = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(at)]


@given(
    text=some.text(max_size=30), rest=some.text(max_size=10), cuts=some.lists(some.integers(0, 99))
)
def test_however_it_is_cut_only_the_rest_comes_through(
    text: str, rest: str, cuts: list[int]
) -> None:
    """For any pieces of the same answer, what passes is exactly what was not delivered."""
    matcher = Matcher(text)
    new = [n for p in pieces(text + rest, cuts) for n in matcher.rest_of(p, READ, last=False)]
    assert "".join(new) == rest
    assert matcher.done


@given(text=some.text(min_size=1, max_size=30), other=some.text(min_size=1, max_size=30))
def test_what_says_something_else_is_noticed(text: str, other: str) -> None:
    """A different answer never passes, unless it has said all that was delivered first."""
    matcher = Matcher(text)
    try:
        new = "".join(matcher.rest_of(other, READ, last=False))
    except Diverged:
        assert not text.startswith(other)
        assert not other.startswith(text)
    else:
        assert other == text + new or (text.startswith(other) and not new)


def test_an_answer_that_ends_too_soon_diverges() -> None:
    """Who proves the end before he has said as much has given another answer."""
    with pytest.raises(Diverged):
        Matcher("one two").rest_of("one", READ, last=True)


def test_a_chunk_that_cannot_be_cut_diverges() -> None:
    """Where nobody can make half a chunk, only chunks that end where the text ends will do."""
    read = StreamPolicy(text=lambda c: c["t"]).reader({"t": ""})
    assert list(Matcher("ab").rest_of({"t": "ab"}, read, last=False)) == []
    with pytest.raises(Diverged):
        Matcher("ab").rest_of({"t": "abc"}, read, last=False)
    assert list(Matcher("ab").rest_of({"t": "ab"}, read, last=True)) == [{"t": "ab"}]


def ways(delivered: Delivered, **settings: Any) -> list[str | None]:
    """In which order a provider would be asked."""
    member = World([provider("b", **settings)]).member("b")
    return [approach.how for approach in delivered.approaches(member)]


def broken(request: Any, *texts: str, **settings: Any) -> Delivered:
    """An answer that broke after these chunks."""
    policy = StreamPolicy(on_interrupt="continue", **settings)
    delivered = Delivered(policy, request)
    for text in texts:
        chunk = said(text) if request is CHAT else text
        delivered.note(chunk, policy.reader(chunk))
    delivered.broken = True
    return delivered


def test_the_order_of_the_ways() -> None:
    """The user's hook alone; else a prefill where it can be, matching, and the instruction last."""
    assert ways(broken(CHAT, "x"), capabilities=["prefill"]) == ["prefill", "match", "instruct"]
    assert ways(broken(CHAT, "x")) == ["match", "instruct"]
    assert ways(broken(CHAT, "x", on_divergence="raise")) == ["match"]
    assert ways(broken(CHAT, "x", resume=lambda q, _: q), capabilities=["prefill"]) == ["resume"]
    assert ways(broken("q", "x"), capabilities=["prefill"]) == ["match"]
    assert ways(broken(CHAT), capabilities=["prefill"]) == ["match", "instruct"]
    assert ways(broken(CHAT, " \n"), capabilities=["prefill"]) == ["match", "instruct"]
    unbroken = broken(CHAT, "x")
    unbroken.broken = False
    assert ways(unbroken) == [None]


def test_nothing_is_kept_unless_it_may_be_needed() -> None:
    """Only `continue` keeps the text; the others count chunks."""
    for how in ("raise", "restart"):
        policy = StreamPolicy(on_interrupt=how)  # type: ignore[arg-type]
        delivered = Delivered(policy, "q")
        delivered.note("word", policy.reader("word"))
        assert (delivered.text, delivered.chunks) == ("", 1)
    assert broken("q", "a", "b").text == "ab"


def test_a_long_answer_is_kept_and_matched_without_copies() -> None:
    """A megabyte in 20,000 chunks costs a list of them, and no copy of the text for each."""
    words = [f"{number:049d} " for number in range(20_000)]
    text = "".join(words)
    delivered, matcher = Delivered(StreamPolicy(on_interrupt="continue"), "q"), Matcher(text)
    tracemalloc.start()
    try:
        for word in words:
            delivered.note(word, READ)
            assert matcher.rest_of(word, READ, last=False) == ()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < len(text) // 4
    assert matcher.done
    assert delivered.text == text
