"""Server-sent events out of bytes, however the network cut them; pure, incremental and bounded.

Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream". Two departures, both because
providers do it: an event that the end of the stream cuts off before its blank line is still
delivered (`finish`), and data stays bytes, so that only who reads it pays for decoding it.
"""

from __future__ import annotations

from typing import NamedTuple

from multirouter.core import validation as check

MAX_EVENT = 16 * 2**20
"""Bytes one event may have: room for an image in base64, and an end to a flood."""

_BOM = b"\xef\xbb\xbf"
_LF = 10
_CR = 13


class Event(NamedTuple):
    """One event of a stream.

    Attributes:
        name: the `event:` field, or "" when there was none.
        data: the `data:` lines, joined by line feeds, without a last one.
    """

    name: str
    data: bytes


class EventTooLong(ValueError):
    """An event grew beyond the bound; the parser is of no further use."""


class SSEParser:
    """Takes bytes as they come and gives the events that they complete.

    Any split of the same bytes gives the same events. Lines may end in LF, CRLF or CR; a BOM at
    the start, comments, `id:`, `retry:` and unknown fields are skipped.

    Args:
        max_event: bytes that may wait for the end of their event, at least 1.
    """

    __slots__ = ("_buffer", "_data", "_held", "_max_event", "_name", "_skip_lf", "_started")

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max_event = check.count("SSEParser.max_event", max_event)
        self._buffer = bytearray()
        self._data: list[bytes] = []
        self._held = 0
        self._name = ""
        self._skip_lf = False
        self._started = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes, in order.

        Raises:
            EventTooLong: when more than `max_event` bytes wait for the end of their event.
        """
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[0] == _LF:
                chunk = chunk[1:]
        if not self._started:
            chunk = self._without_bom(chunk)
        events = self._take(chunk) if chunk else []
        self._bound(len(self._buffer) + self._held)
        return events

    def finish(self) -> list[Event]:
        """What the end of the stream leaves: the event in the making, if it has any data."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        events = self._interpret([rest] if rest else [])
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

    def _take(self, chunk: bytes) -> list[Event]:
        """Cuts whole lines off; only the new bytes are searched, so a long line stays cheap."""
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
        return self._interpret(whole.splitlines())

    def _interpret(self, lines: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(self._dispatch())
                self._name = ""
            elif line.startswith(b"data: "):
                self._keep(line[6:])
            else:
                self._field(line)
        return events

    def _field(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._keep(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")

    def _keep(self, value: bytes) -> None:
        self._data.append(value)
        self._held += len(value) + 1
        self._bound(self._held)

    def _bound(self, size: int) -> None:
        if size > self._max_event:
            raise EventTooLong(f"an event of more than {self._max_event} bytes")

    def _dispatch(self) -> Event:
        data = self._data
        event = Event(self._name, data[0] if len(data) == 1 else b"\n".join(data))
        self._name = ""
        self._data = []
        self._held = 0
        return event
