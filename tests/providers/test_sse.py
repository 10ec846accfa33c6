"""The SSE parser: any split of the bytes gives the same events."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.errors import ConfigurationError
from multirouter.providers.transport.sse import Event, EventTooLong, SSEParser

PIECES = st.sampled_from(
    [
        b"data: x",
        b"data:y",
        b"data:",
        b"data",
        b"data:  two",
        b"event: named",
        b"event",
        b"id: 7",
        b"retry: 10",
        b": comment",
        b"nonsense",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\r\n\r\n",
        b"\xef\xbb\xbf",
        "data: é€😀".encode(),
        b"data: \xff",
    ]
)
STREAMS = st.lists(PIECES, max_size=25).map(b"".join)


def parsed(*chunks: bytes) -> list[Event]:
    parser = SSEParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return events + parser.finish()


def reference(stream: bytes) -> list[Event]:
    """The standard's algorithm, line by line, on the whole stream at once."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[Event] = []
    name, data = "", []
    lines = text.split(b"\n")
    for line in [*lines, b""] if lines[-1] else lines:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if line == b"":
            if data:
                events.append(Event(name, b"\n".join(data)))
            name, data = "", []
        elif field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return events


@given(stream=STREAMS, cuts=st.lists(st.integers(min_value=0, max_value=400), max_size=12))
def test_any_split_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    """Property: where the bytes are split has no influence on the events."""
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in itertools.pairwise(places)]
    assert parsed(*chunks) == parsed(stream)


@given(stream=STREAMS)
def test_events_match_the_standard(stream: bytes) -> None:
    """Property: on complete streams the parser agrees with the standard's algorithm."""
    whole = stream + b"\n\n"
    assert parsed(whole) == reference(whole)


@given(stream=STREAMS)
def test_byte_by_byte_gives_the_same_events(stream: bytes) -> None:
    """Property: one byte at a time gives the same events."""
    assert parsed(*(stream[i : i + 1] for i in range(len(stream)))) == parsed(stream)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_every_line_ending_is_accepted(newline: bytes) -> None:
    """LF, CRLF and CR end lines; data lines are joined by LF."""
    stream = newline.join([b"event: e", b"data: a", b"data: b", b"", b"data: c", b"", b""])
    assert parsed(stream) == [Event("e", b"a\nb"), Event("", b"c")]


def test_bom_at_the_start_is_skipped() -> None:
    """A BOM is skipped, whole or split; in the middle it is part of a field name."""
    assert parsed(b"\xef", b"\xbb", b"\xbfdata: x\n\n") == [Event("", b"x")]
    assert parsed(b"data: x\n\n\xef\xbb\xbfdata: y\n\n") == [Event("", b"x")]


def test_comments_and_unknown_fields_are_no_events() -> None:
    """Keep-alives, ids and retry times are no events, and do not end one."""
    assert parsed(b": ping\n\nid: 1\n\nretry: 5\n\ndata: x\n: ping\ndata: y\n\n") == [
        Event("", b"x\ny")
    ]


def test_event_needs_a_data_line() -> None:
    """`data:` alone is an event with empty data; a name without data is none, and is discarded."""
    assert parsed(b"data:\n\nevent: lost\n\ndata: x\n\n") == [Event("", b""), Event("", b"x")]


def test_incomplete_last_event_is_delivered() -> None:
    """A last event without its blank line, or even its newline, is delivered at the end."""
    assert parsed(b"data: a\n\ndata: [DONE]") == [Event("", b"a"), Event("", b"[DONE]")]
    assert parsed(b"data: b\n") == [Event("", b"b")]
    assert parsed(b"\xef\xbb") == []


@pytest.mark.parametrize("size", [1, 1000, 70_000])
def test_event_beyond_the_maximum_raises(size: int) -> None:
    """However it is split, an event beyond the maximum raises, and memory stays bounded."""
    parser = SSEParser(max_event=100_000)
    flood = b"data: " + b"x" * 150_000 + b"\n\n"
    with pytest.raises(EventTooLong, match="100000"):
        for start in range(0, len(flood), size):
            parser.feed(flood[start : start + size])


def test_many_short_lines_count_together() -> None:
    """The maximum applies to the event, not to a line."""
    parser = SSEParser(max_event=1000)
    with pytest.raises(EventTooLong):
        for _ in range(200):
            parser.feed(b"data: 12345\n")


def test_large_event_takes_linear_time() -> None:
    """12 MB in 64 KiB parts take no more than a few times what joining them takes."""
    piece = b"x" * 65536
    parser = SSEParser()
    started = time.perf_counter()
    assert parser.feed(b"data: ") == []
    for _ in range(190):
        assert parser.feed(piece) == []
    (event,) = parser.feed(b"\n\n")
    assert len(event.data) == 190 * 65536
    assert time.perf_counter() - started < 2.0


def test_invalid_max_event_is_rejected() -> None:
    """A maximum of 0 raises at construction."""
    with pytest.raises(ConfigurationError, match="max_event"):
        SSEParser(max_event=0)
