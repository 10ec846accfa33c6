"""Translates a canonical stream to Gemini's: text as it comes, calls whole, usage at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from multirouter.core.chat.completions import has_tool_calls
from multirouter.gateway.formats.gemini.answers import (
    call_parts,
    candidate,
    response,
    text_parts,
    usage_counts,
)
from multirouter.gateway.formats.openai.normalize_answers import ChunkTranslator
from multirouter.gateway.http.wire_format import GEMINI, WireFormat
from multirouter.providers.json_bytes import dumps
from multirouter.providers.native.answers import NativeStream


class GenerateContentEvents(ChunkTranslator):
    """Makes the elements of one streamed answer; see `stream_relay.Translator`.

    The finish reason and the calls of each candidate are held back until the stream's end, and
    sent with the usage: the finish reason says that the answer is complete.

    Args:
        request_id: the base of ids.
        thoughts: whether thoughts are included.
        wire_format: the format of the stream.
    """

    def __init__(
        self, request_id: str, *, thoughts: bool, wire_format: WireFormat = GEMINI
    ) -> None:
        super().__init__(request_id)
        self._thoughts = thoughts
        self._wire_format = wire_format
        self._calls: dict[int, dict[int, Any]] = {}
        self._finished: dict[int, str] = {}
        self._native = NativeStream()
        self._passed: set[int] = set()

    @property
    def holds(self) -> Callable[[Any], bool]:
        """See `Translator`: calls are sent whole, so another provider may make them after a break.

        Those of a provider of this format come whole, and pass at once.
        """
        return lambda chunk: has_tool_calls(chunk) and not self._native.passes(chunk)

    def feed(self, chunk: Any) -> bytes:
        """See `Translator`. The events of a provider of this format are passed on as they are."""
        events = self._native.take(chunk)
        if events is not None:
            for normalized in self._normalizer.feed(chunk):
                self._passed.update(
                    choice["index"] for choice in normalized["choices"] if choice["finish_reason"]
                )
            return b"".join(self._wire_format.frame(event.data) for event in events)
        pieces = []
        for normalized in self._normalizer.feed(chunk):
            for choice in normalized["choices"]:
                self._record(choice)
                parts = text_parts(choice["delta"], thoughts=self._thoughts)
                if parts:
                    logprobs = choice.get("logprobs")
                    pieces.append(candidate(parts, choice["index"], logprobs=logprobs))
        return self._event(pieces) if pieces else b""

    def end(self) -> bytes:
        """See `Translator`: the last element, and nothing behind it."""
        last = [
            candidate(call_parts(self._calls.get(index, {}).values()), index, reason)
            for index, reason in sorted(self._finished.items())
        ]
        if self._passed and not last:
            return self._wire_format.closing
        usage = usage_counts(self._normalizer.usage)
        return self._event(last, usageMetadata=usage) + self._wire_format.closing

    def _record(self, choice: dict[str, Any]) -> None:
        index = choice["index"]
        calls = self._calls.setdefault(index, {})
        for piece in choice["delta"].get("tool_calls") or ():
            _add_piece(calls, piece)
        if choice["finish_reason"]:
            self._finished[index] = choice["finish_reason"]

    def _event(self, candidates: list[Any], **fields: Any) -> bytes:
        data = {**response(candidates, self._normalizer.id, self._normalizer.model), **fields}
        return self._wire_format.frame(dumps(data))


def _add_piece(calls: dict[int, Any], piece: dict[str, Any]) -> None:
    """Adds a piece to its call, which its index identifies."""
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
