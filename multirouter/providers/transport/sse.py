"""Incremental parser of server-sent events, with bounded memory and without I/O.

Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream". There are two differences, both
because of what providers send: an event that the end of the stream cuts off before its blank line
is still delivered (`finish`), and data stays bytes, so it is decoded only where it is read.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from multirouter.core import validation as check

MAX_EVENT = 16 * 2**20
"""Maximum bytes of one event: enough for an image in base64, and a bound on memory."""

_BOM = b"\xef\xbb\xbf"
_LF = 10
_CR = 13


class Event(NamedTuple):
    """One server-sent event.

    Attributes:
        name: the `event:` field, or "" when there was none.
        data: the `data:` lines, joined by line feeds, without a trailing one.
    """

    name: str
    data: bytes


class EventTooLong(ValueError):
    """An event is longer than the maximum. The parser cannot be used further."""


class EventParser(Protocol):
    """Turns the bytes of a stream into events; see `SSEParser`."""

    def feed(self, chunk: bytes) -> list[Event]: ...  # noqa: D102 - see above
    def finish(self) -> list[Event]: ...  # noqa: D102 - see above


class SSEParser:
    """Turns bytes into events. The result does not depend on how the bytes are split.

    Lines may end in LF, CRLF or CR. A BOM at the start, comments, `id:`, `retry:` and unknown
    fields are skipped.

    Args:
        max_event: maximum bytes buffered for one event, at least 1.
    """

    __slots__ = ("_buffer", "_data", "_data_size", "_max_event", "_name", "_skip_lf", "_started")

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max_event = check.count("SSEParser.max_event", max_event)
        self._buffer = bytearray()
        self._data: list[bytes] = []
        self._data_size = 0
        self._name = ""
        self._skip_lf = False
        self._started = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Returns the events that `chunk` completes, in order.

        Raises:
            EventTooLong: when more than `max_event` bytes are buffered for one event.
        """
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[0] == _LF:
                chunk = chunk[1:]
        if not self._started:
            chunk = self._without_bom(chunk)
        events = self._split_lines(chunk) if chunk else []
        self._check_size(len(self._buffer) + self._data_size)
        return events

    def finish(self) -> list[Event]:
        """Returns the event that was incomplete at the end of the stream, if it has any data."""
        remainder = bytes(self._buffer)
        self._buffer.clear()
        events = self._parse_lines([remainder] if remainder else [])
        if self._data:
            events.append(self._dispatch())
        return events

    def _without_bom(self, chunk: bytes) -> bytes:
        self._buffer += chunk
        start = bytes(self._buffer[:3])
        if len(start) < 3 and _BOM.startswith(start):
            return b""
        self._started = True
        chunk = bytes(self._buffer).removeprefix(_BOM)
        self._buffer.clear()
        return chunk

    def _split_lines(self, chunk: bytes) -> list[Event]:
        """Splits off whole lines. Only new bytes are searched, so a long line costs linear time."""
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if not end:
            self._buffer += chunk
            return []
        whole = chunk[:end]
        if self._buffer:
            whole = bytes(self._buffer) + whole
            self._buffer.clear()
        self._buffer += chunk[end:]
        self._skip_lf = end == len(chunk) and whole[-1] == _CR
        return self._parse_lines(whole.splitlines())

    def _parse_lines(self, lines: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(self._dispatch())
                self._name = ""
            elif line.startswith(b"data: "):
                self._add_data(line[6:])
            else:
                self._parse_field(line)
        return events

    def _parse_field(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._add_data(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")

    def _add_data(self, value: bytes) -> None:
        self._data.append(value)
        self._data_size += len(value) + 1
        self._check_size(self._data_size)

    def _check_size(self, size: int) -> None:
        if size > self._max_event:
            raise EventTooLong(f"a stream event exceeds {self._max_event} bytes")

    def _dispatch(self) -> Event:
        data = self._data
        event = Event(self._name, data[0] if len(data) == 1 else b"\n".join(data))
        self._name = ""
        self._data = []
        self._data_size = 0
        return event
