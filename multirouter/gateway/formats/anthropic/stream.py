"""A canonical stream in Anthropic's events: one block after the other, each opened and closed."""

from __future__ import annotations

import json
from typing import Any

from multirouter.gateway.formats.anthropic.answers import STOPS, counts, opening
from multirouter.gateway.formats.openai.normalize import Tidied
from multirouter.providers.json_bytes import dumps


class MessageEvents(Tidied):
    """Makes the events of one message; see `relaying.Translator`.

    Only one block is open at a time, as the format wants it: text behind a tool call opens a
    new one, and tool calls whose pieces interleave are told one after the other.

    Args:
        request_id: what ids are made of.
    """

    def __init__(self, request_id: str) -> None:
        super().__init__(request_id)
        self._request_id = request_id
        self._events: list[bytes] = []
        self._begun = False
        self._open: tuple[str, int] | None = None
        self._index = -1
        self._arguments = ""
        self._stop = "end_turn"
        self._waiting: dict[int, list[dict[str, Any]]] = {}

    def feed(self, chunk: Any) -> bytes:
        """See `Translator`."""
        for clean in self._tidy.feed(chunk):
            self._begin()
            for choice in clean["choices"]:
                if choice["index"] == 0:
                    self._take(choice["delta"])
                    if choice["finish_reason"]:
                        self._stop = STOPS.get(choice["finish_reason"], "end_turn")
        return self._told()

    def end(self) -> bytes:
        """See `Translator`."""
        self._begin()
        self._close()
        for pieces in list(self._waiting.values()):
            for piece in pieces:
                self._call(piece)
            self._close()
        stop = {"stop_reason": self._stop, "stop_sequence": None}
        self._tell("message_delta", delta=stop, usage=counts(self._tidy.usage))
        self._tell("message_stop")
        return self._told()

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            message = opening(self._tidy.id, self._tidy.model, self._request_id)
            self._tell("message_start", message=message)

    def _take(self, delta: dict[str, Any]) -> None:
        thought = delta.get("reasoning_content")
        if thought:
            self._switch("thinking", 0, {"type": "thinking", "thinking": "", "signature": ""})
            self._piece(type="thinking_delta", thinking=thought)
        for block in delta.get("thinking_blocks") or ():
            self._thought(block)
        text = delta.get("content") or delta.get("refusal")
        if text:
            self._switch("text", 0, {"type": "text", "text": ""})
            self._piece(type="text_delta", text=text)
        for call in delta.get("tool_calls") or ():
            self._call_or_wait(call)

    def _thought(self, block: dict[str, Any]) -> None:
        """A whole signed thought: its text was told already where it came in pieces."""
        if block.get("type") != "thinking":
            self._switch("redacted", self._index + 1, block)
        elif self._open != ("thinking", 0):
            self._switch("thinking", 0, {**block, "signature": ""})
        if block.get("signature"):
            self._piece(type="signature_delta", signature=block["signature"])
        self._close()

    def _call_or_wait(self, call: dict[str, Any]) -> None:
        """Only one block is open: a call that comes while another is half told waits its turn."""
        number = call["index"]
        kind, open_ = self._open or ("", -1)
        waits = kind == "call" and open_ != number and not _is_json(self._arguments)
        if waits or number in self._waiting:
            self._waiting.setdefault(number, []).append(call)
        else:
            self._call(call)

    def _call(self, call: dict[str, Any]) -> None:
        function = call.get("function") or {}
        if function.get("name"):
            block = {"type": "tool_use", "id": call["id"], "name": function["name"], "input": {}}
            self._switch("call", call["index"], block)
        piece = function.get("arguments")
        if piece and self._open == ("call", call["index"]):
            self._arguments += piece
            self._piece(type="input_json_delta", partial_json=piece)

    def _switch(self, kind: str, number: int, block: dict[str, Any]) -> None:
        if self._open == (kind, number):
            return
        self._close()
        self._index += 1
        self._open = (kind, number)
        self._arguments = ""
        self._tell("content_block_start", index=self._index, content_block=block)

    def _close(self) -> None:
        if self._open is not None:
            self._open = None
            self._tell("content_block_stop", index=self._index)

    def _piece(self, **delta: Any) -> None:
        self._tell("content_block_delta", index=self._index, delta=delta)

    def _tell(self, name: str, **fields: Any) -> None:
        data = dumps({"type": name, **fields})
        self._events.append(b"event: %s\ndata: %s\n\n" % (name.encode(), data))

    def _told(self) -> bytes:
        told = b"".join(self._events)
        self._events.clear()
        return told


def _is_json(text: str) -> bool:
    """Whether the arguments of a call are all there."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
