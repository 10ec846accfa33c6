"""Stream as one JSON array, which Google sends without `alt=sse`."""

from __future__ import annotations

from dataclasses import replace

from multirouter.gateway.http.wire_format import GEMINI, WireFormat


def json_array_format() -> WireFormat:
    """The format of one such stream.

    White space, which is GEMINI's comment, is valid between all elements.
    """
    framing = _ArrayFraming()
    return replace(GEMINI, content_type="application/json", frame=framing, closing=b"]")


class _ArrayFraming:
    """Puts the opening bracket or a comma in front of each element."""

    def __init__(self) -> None:
        self._started = False

    def __call__(self, data: bytes) -> bytes:
        prefix, self._started = (b",\r\n" if self._started else b"["), True
        return prefix + data
