"""A stream as one JSON array, an element a piece: what Google sends without `alt=sse`."""

from __future__ import annotations

from dataclasses import replace

from multirouter.gateway.http.error_bodies import GEMINI, Shape


def as_array() -> Shape:
    """The shape of one such stream; white space, which is GEMINI's comment, may stand anywhere."""
    return replace(GEMINI, content_type="application/json", frame=_Elements(), closing=b"]")


class _Elements:
    """Puts in front of each element what belongs there."""

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, data: bytes) -> bytes:
        before, self._begun = (b",\r\n" if self._begun else b"["), True
        return before + data
