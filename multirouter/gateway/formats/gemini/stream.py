"""A canonical stream in Gemini's pieces: text as it comes, calls whole, usage at the end."""

from __future__ import annotations

from typing import Any

from multirouter.gateway.formats.gemini.answers import (
    call_parts,
    candidate,
    counts,
    response,
    text_parts,
)
from multirouter.gateway.formats.openai.normalize import Tidied
from multirouter.gateway.http.error_bodies import GEMINI, Shape
from multirouter.providers.json_bytes import dumps


class GenerationEvents(Tidied):
    """Makes the events of one answer; see `relaying.Translator`.

    The last piece of each candidate is held back until the stream's end: it tells the usage,
    and it is what says that the answer is whole.

    Args:
        request_id: what ids are made of.
        thoughts: whether thoughts are told.
        shape: how pieces become a stream.
    """

    def __init__(self, request_id: str, *, thoughts: bool, shape: Shape = GEMINI) -> None:
        super().__init__(request_id)
        self._thoughts = thoughts
        self._shape = shape
        self._calls: dict[int, dict[int, Any]] = {}
        self._finished: dict[int, str] = {}

    def feed(self, chunk: Any) -> bytes:
        """See `Translator`."""
        pieces = []
        for clean in self._tidy.feed(chunk):
            for choice in clean["choices"]:
                self._note(choice)
                parts = text_parts(choice["delta"], thoughts=self._thoughts)
                if parts:
                    logprobs = choice.get("logprobs")
                    pieces.append(candidate(parts, choice["index"], logprobs=logprobs))
        return self._event(pieces) if pieces else b""

    def end(self) -> bytes:
        """See `Translator`: no more than the last piece ends a stream."""
        last = [
            candidate(call_parts(self._calls.get(index, {}).values()), index, reason)
            for index, reason in sorted(self._finished.items())
        ]
        return self._event(last, usageMetadata=counts(self._tidy.usage)) + self._shape.closing

    def _note(self, choice: dict[str, Any]) -> None:
        index = choice["index"]
        calls = self._calls.setdefault(index, {})
        for piece in choice["delta"].get("tool_calls") or ():
            _join(calls, piece)
        if choice["finish_reason"]:
            self._finished[index] = choice["finish_reason"]

    def _event(self, candidates: list[Any], **more: Any) -> bytes:
        told = {**response(candidates, self._tidy.id, self._tidy.model), **more}
        return self._shape.frame(dumps(told))


def _join(calls: dict[int, Any], piece: dict[str, Any]) -> None:
    """Adds a piece to its call; a call is told by its index."""
    function = piece.get("function") or {}
    call = calls.get(piece["index"])
    if call is None:
        call = calls[piece["index"]] = {
            "id": piece["id"],
            "function": {"name": function.get("name") or "", "arguments": ""},
        }
    if piece.get("extra_content"):
        call["extra_content"] = piece["extra_content"]
    call["function"]["arguments"] += function.get("arguments") or ""
