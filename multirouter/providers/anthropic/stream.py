"""Translates a stream of Anthropic Messages to canonical chunks, event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from multirouter.providers.answer_checks import check_call_text
from multirouter.providers.anthropic.response import FINISH, refusal_text, usage_from
from multirouter.providers.arguments import arguments_text
from multirouter.providers.calls.names import ToolNames
from multirouter.providers.canonical import ChatCompletionChunk
from multirouter.providers.chunks import ChunkMaker
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.json_bytes import loads
from multirouter.providers.transport.sse import Event

Chunks = Iterable[ChatCompletionChunk]

_TRANSLATED_BLOCKS = frozenset({"text", "tool_use", "thinking", "redacted_thinking"})


class AnthropicTranslator:
    """Translates one stream.

    It is complete when it has a stop reason. Unknown events and blocks are skipped.

    Args:
        errors: makes the provider's errors.
        created: seconds since 1970.
        include_usage: whether the consumer wants the usage in a chunk of its own.
        names: the names of tools at the service.
    """

    def __init__(
        self,
        errors: ErrorFactory,
        created: int,
        *,
        include_usage: bool,
        names: ToolNames | None = None,
    ) -> None:
        self.complete: bool = False
        self.ended: bool = False
        self._errors = errors
        self._make = ChunkMaker(created, include_usage=include_usage)
        self._counts: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._calls = 0
        self._names = names
        self._final_chunk: ChatCompletionChunk | None = None
        self._handlers: dict[str, Callable[[Any], Chunks]] = {
            "message_start": self._message_start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "content_block_stop": self._block_stop,
            "message_delta": self._message_delta,
            "message_stop": self._message_stop,
            "error": self._error,
        }

    def feed(self, event: Event) -> Chunks:
        """See `Translator.feed`."""
        try:
            data = loads(event.data)
            handler = self._handlers.get(data.get("type") or event.name)
            return () if handler is None else handler(data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._errors.invalid_chunk(event.data) from None

    def finish(self) -> Chunks:
        """See `Translator.finish`."""
        return (
            ()
            if self._final_chunk is None
            else self._make.with_usage(self._final_chunk, self._usage())
        )

    def _message_start(self, data: dict[str, Any]) -> Chunks:
        message = data["message"]
        self._make.id = message.get("id") or ""
        self._make.model = message.get("model") or ""
        self._update_usage(message.get("usage"))
        return (self._make.chunk({"role": "assistant", "content": ""}),)

    def _block_start(self, data: dict[str, Any]) -> Chunks:
        block = data["content_block"]
        kind = block["type"]
        state = {"type": kind, "block": block, "parts": []}
        self._blocks[data["index"]] = state
        if kind == "tool_use":
            check_call_text(block["id"], block["name"])
            state["call"] = self._calls
            self._calls += 1
            name = block["name"] if self._names is None else self._names.received(block["name"])
            function = {"name": name, "arguments": ""}
            return self._call_delta(state, id=block["id"], type="function", function=function)
        if kind == "text" and block.get("text"):
            return (self._make.chunk({"content": block["text"]}),)
        return () if kind in _TRANSLATED_BLOCKS else self._other(kind)

    def _block_delta(self, data: dict[str, Any]) -> Chunks:
        delta = data["delta"]
        kind = delta["type"]
        if kind == "text_delta":
            return (self._make.chunk({"content": delta["text"]}),)
        state = self._blocks[data["index"]]
        if kind == "input_json_delta" and "call" in state:
            piece = delta["partial_json"]
            if not piece:
                return ()
            state["has_arguments"] = True
            return self._call_delta(state, function={"arguments": piece})
        if kind == "thinking_delta":
            state["parts"].append(delta["thinking"])
            return (self._make.chunk({"reasoning_content": delta["thinking"]}),)
        if kind == "signature_delta":
            state["block"]["signature"] = delta["signature"]
        return () if state["type"] in _TRANSLATED_BLOCKS else self._other(state["type"])

    def _other(self, kind: str) -> Chunks:
        """A chunk for content that has no counterpart, as of tools that the provider runs."""
        return (self._make.chunk({"other_content": kind}),)

    def _block_stop(self, data: dict[str, Any]) -> Chunks:
        """Emits the arguments of a call that had no delta, or a whole signed thinking block."""
        state = self._blocks.pop(data["index"])
        block = state["block"]
        if "call" in state and "has_arguments" not in state:
            function = {"arguments": arguments_text(block.get("input"))}
            return self._call_delta(state, function=function)
        if state["type"] == "thinking":
            block["thinking"] = (block.get("thinking") or "") + "".join(state["parts"])
        if state["type"] in {"thinking", "redacted_thinking"}:
            return (self._make.chunk({"thinking_blocks": [block]}),)
        return ()

    def _call_delta(self, state: dict[str, Any], **call: Any) -> Chunks:
        return (self._make.chunk({"tool_calls": [{"index": state["call"], **call}]}),)

    def _message_delta(self, data: dict[str, Any]) -> Chunks:
        self._update_usage(data.get("usage"))
        delta = data["delta"]
        reason = delta.get("stop_reason")
        if reason is not None:
            refusal = refusal_text(delta.get("stop_details"))
            self._final_chunk = self._make.chunk(
                {} if refusal is None else {"refusal": refusal},
                FINISH.get(reason, "stop"),
                native_reason=reason,
            )
            self.complete = True
        return ()

    def _message_stop(self, data: dict[str, Any]) -> Chunks:
        self.ended = True
        return ()

    def _error(self, data: dict[str, Any]) -> Chunks:
        raise self._errors.reported(data, {})

    def _update_usage(self, counts: dict[str, Any] | None) -> None:
        """Replaces earlier counts with later ones, because they are cumulative."""
        self._counts.update({k: v for k, v in (counts or {}).items() if v is not None})

    def _usage(self) -> Any:
        return usage_from(self._counts) if self._counts else None
