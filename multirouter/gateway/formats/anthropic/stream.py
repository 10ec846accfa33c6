"""Translates a canonical stream to Anthropic's events: one content block after the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from multirouter.gateway.formats.anthropic.answers import empty_message, stop_reason, usage_counts
from multirouter.gateway.formats.openai.normalize_answers import ChunkTranslator, reasoning_text
from multirouter.gateway.http.wire_format import named_event
from multirouter.providers.json_bytes import dumps, loads
from multirouter.providers.native.answers import NativeStream
from multirouter.providers.transport.sse import Event

_KINDS = {"text": "text", "thinking": "thinking"}
"""Kinds of blocks that another stream may continue."""


class MessageEvents(ChunkTranslator):
    """Makes the events of one message; see `stream_relay.Translator`.

    The format allows one open block at a time: text behind a tool call opens a new block, and
    interleaved tool calls are sent one after the other.

    Args:
        request_id: the base of ids.
        on_native: called with each event that is passed on as it is, but for pieces of content.
    """

    def __init__(
        self,
        request_id: str,
        on_native: Callable[[dict[str, Any]], object] = lambda _: None,
    ) -> None:
        super().__init__(request_id)
        self._request_id = request_id
        self._on_native = on_native
        self._events: list[bytes] = []
        self._started = False
        self._open: tuple[str, int] | None = None
        self._index = -1
        self._arguments = ""
        self._stop_reason = "end_turn"
        self._called = False
        self._waiting: dict[int, list[dict[str, Any]]] = {}
        self._native = NativeStream()
        self._stopping = False
        self._stopped = False

    def feed(self, chunk: Any) -> bytes:
        """See `Translator`. The events of a provider of this format are passed on as they are."""
        events = self._native.take(chunk)
        if events is not None:
            for _ in self._normalizer.feed(chunk):  # for the model, the usage and the end
                pass
            return b"".join(map(self._passed, events))
        for normalized in self._normalizer.feed(chunk):
            self._start()
            for choice in normalized["choices"]:
                if choice["index"] == 0:
                    self._add_delta(choice["delta"])
                    if choice["finish_reason"]:
                        reason = choice["finish_reason"]
                        self._stop_reason = stop_reason(reason, called=self._called)
        return self._take_events()

    def end(self) -> bytes:
        """See `Translator`: what a native stream has not sent itself."""
        if self._stopping:
            return b"" if self._stopped else self._message_stop()
        self._start()
        self._close_block()
        for pieces in list(self._waiting.values()):
            for piece in pieces:
                self._add_call(piece)
            self._close_block()
        stop = {"stop_reason": self._stop_reason, "stop_sequence": None}
        self._emit("message_delta", delta=stop, usage=usage_counts(self._normalizer.usage))
        return self._message_stop()

    def _message_stop(self) -> bytes:
        self._emit("message_stop")
        return self._take_events()

    def _passed(self, event: Event) -> bytes:
        """An event as it came. What it does to the message is kept, for a stream that breaks."""
        if event.name == "content_block_delta":
            return named_event(event.name, event.data)
        data = loads(event.data)
        kind = data.get("type") or event.name
        self._on_native(data)
        if kind == "message_start":
            self._started = True
        elif kind == "content_block_start":
            self._index = data["index"]
            self._open = (_KINDS.get(data["content_block"]["type"], "other"), 0)
        elif kind == "content_block_stop":
            self._open = None
        elif kind == "message_delta":
            self._stopping = self._stopping or bool(data["delta"].get("stop_reason"))
        elif kind == "message_stop":
            self._stopped = True
        return named_event(kind, event.data)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            message = empty_message(self._normalizer.id, self._normalizer.model, self._request_id)
            self._emit("message_start", message=message)

    def _add_delta(self, delta: dict[str, Any]) -> None:
        thinking = delta.get("reasoning_content") or reasoning_text(delta)
        if thinking:
            block = {"type": "thinking", "thinking": "", "signature": ""}
            self._open_block("thinking", 0, block)
            self._emit_delta(type="thinking_delta", thinking=thinking)
        for block in delta.get("thinking_blocks") or ():
            self._add_thinking_block(block)
        text = delta.get("content") or delta.get("refusal")
        if text:
            self._open_block("text", 0, {"type": "text", "text": ""})
            self._emit_delta(type="text_delta", text=text)
        for call in delta.get("tool_calls") or ():
            self._called = True
            self._add_call_or_queue(call)

    def _add_thinking_block(self, block: dict[str, Any]) -> None:
        """A whole signed block; if its text came in pieces before, only the signature is sent."""
        if block.get("type") != "thinking":
            self._open_block("redacted", self._index + 1, block)
        elif self._open != ("thinking", 0):
            self._open_block("thinking", 0, {**block, "signature": ""})
        if block.get("signature"):
            self._emit_delta(type="signature_delta", signature=block["signature"])
        self._close_block()

    def _add_call_or_queue(self, call: dict[str, Any]) -> None:
        """Queues a call that comes while the open block is another, incomplete call."""
        number = call["index"]
        kind, open_ = self._open or ("", -1)
        blocked = kind == "call" and open_ != number and not _is_json(self._arguments)
        if blocked or number in self._waiting:
            self._waiting.setdefault(number, []).append(call)
        else:
            self._add_call(call)

    def _add_call(self, call: dict[str, Any]) -> None:
        function = call.get("function") or {}
        if function.get("name"):
            block = {"type": "tool_use", "id": call["id"], "name": function["name"], "input": {}}
            self._open_block("call", call["index"], block)
        piece = function.get("arguments")
        if piece and self._open == ("call", call["index"]):
            self._arguments += piece
            self._emit_delta(type="input_json_delta", partial_json=piece)

    def _open_block(self, kind: str, number: int, block: dict[str, Any]) -> None:
        """Opens a block, and closes another one; a block that is open stays so."""
        if self._open == (kind, number):
            return
        self._close_block()
        self._index += 1
        self._open = (kind, number)
        self._arguments = ""
        self._emit("content_block_start", index=self._index, content_block=block)

    def _close_block(self) -> None:
        if self._open is not None:
            self._open = None
            self._emit("content_block_stop", index=self._index)

    def _emit_delta(self, **delta: Any) -> None:
        self._emit("content_block_delta", index=self._index, delta=delta)

    def _emit(self, name: str, **fields: Any) -> None:
        data = dumps({"type": name, **fields})
        self._events.append(named_event(name, data))

    def _take_events(self) -> bytes:
        data = b"".join(self._events)
        self._events.clear()
        return data


def _is_json(text: str) -> bool:
    """Whether the arguments of a call are complete."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
