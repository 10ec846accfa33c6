"""Translates a stream of OpenAI's Responses API to canonical chunks, event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from multirouter.providers.calls.names import ToolNames, restore_names
from multirouter.providers.canonical import ChatCompletionChunk
from multirouter.providers.chunks import ChunkMaker
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.json_bytes import loads
from multirouter.providers.openai.responses.reasoning_state import thinking_block
from multirouter.providers.openai.responses.response import (
    answer_of,
    finish_reason,
    nested_annotation,
    tool_call,
    usage_from,
)
from multirouter.providers.transport.sse import Event

Chunks = Iterable[ChatCompletionChunk]

_WITH_EVENTS = frozenset({"message", "reasoning"})
"""Items whose content comes in events of their own."""

_ENDS = frozenset({"response.completed", "response.incomplete"})
_FAILS = frozenset({"response.failed", "response.cancelled", "error"})


class ResponsesTranslator:
    """Translates one stream.

    It is complete when its last event says so. Items of unknown types, which only a client of this
    format understands, count as content of another kind. An event without content makes an empty
    chunk: it shows that the service is working, as it does for minutes when it runs tools itself.

    Args:
        errors: makes the provider's errors.
        created: seconds since 1970.
        include_usage: whether the consumer wants the usage in a chunk of its own.
        names: the names of tools at the service.
    """

    def __init__(
        self, errors: ErrorFactory, created: int, *, include_usage: bool, names: ToolNames
    ) -> None:
        self.complete: bool = False
        self.ended: bool = False
        self._errors = errors
        self._names = names
        self._make = ChunkMaker(created, include_usage=include_usage)
        self._started = False
        self._calls: dict[int, int] = {}
        self._with_arguments: set[int] = set()
        self._with_text: set[int] = set()
        self._refused = False
        self._final: tuple[ChatCompletionChunk, Any] | None = None
        self._handlers: dict[str, Callable[[dict[str, Any]], Chunks]] = {
            "response.output_item.added": self._item_added,
            "response.output_item.done": self._item_done,
            "response.output_text.delta": self._text,
            "response.refusal.delta": self._refusal,
            "response.reasoning_text.delta": self._reasoning,
            "response.reasoning_summary_text.delta": self._reasoning,
            "response.reasoning_summary_part.added": self._reasoning_part,
            "response.function_call_arguments.delta": self._arguments,
            "response.custom_tool_call_input.delta": self._custom_input,
            "response.output_text.annotation.added": self._annotation,
        }

    def feed(self, event: Event) -> Chunks:
        """See `Translator.feed`."""
        if event.data.startswith(b"[DONE]"):
            self.ended = True
            return ()
        try:
            data = loads(event.data)
            kind = data.get("type") or event.name
            if kind in _FAILS or data.get("error"):
                raise self._errors.reported(_failure(data), {})
            if isinstance(data.get("response"), dict):
                return self._state(kind, data["response"])
            handler = self._handlers.get(kind)
            return (() if handler is None else tuple(handler(data))) or self._chunk()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._errors.invalid_chunk(event.data) from None

    def finish(self) -> Chunks:
        """See `Translator.finish`."""
        if self._final is None:
            return ()
        chunk, counts = self._final
        return self._make.with_usage(chunk, usage_from(counts) if counts else None)

    def _state(self, kind: str, response: dict[str, Any]) -> Chunks:
        """An event that describes the response itself: its beginning, or its end."""
        self._make.id = str(response.get("id") or self._make.id)
        self._make.model = str(response.get("model") or self._make.model)
        if kind in _ENDS:
            body = {"status": kind.removeprefix("response."), **response}
            reason = finish_reason(body, called=bool(self._calls), refused=self._refused)
            self._final = (self._make.chunk({}, reason), response.get("usage"))
            self.complete = self.ended = True
        if self._started:
            return ()
        self._started = True
        return (self._make.chunk({"role": "assistant", "content": ""}),)

    def _item_added(self, data: dict[str, Any]) -> Chunks:
        item = data["item"]
        call = tool_call(item)
        if call is None:
            kind = str(item.get("type"))
            return () if kind in _WITH_EVENTS else self._chunk(other_content=kind)
        index = data.get("output_index", 0)
        number = self._calls[index] = len(self._calls)
        chunks = self._chunk(tool_calls=[{"index": number, **call}])
        for chunk in chunks:
            restore_names(chunk, self._names)
        return chunks

    def _item_done(self, data: dict[str, Any]) -> Chunks:
        item = data["item"]
        kind, index = item.get("type"), data.get("output_index", 0)
        if index in self._calls:
            return () if index in self._with_arguments else self._whole_arguments(index, item)
        if kind == "reasoning":
            block = thinking_block(item)
            return () if block is None else self._chunk(thinking_blocks=[block])
        if kind == "message":
            return () if index in self._with_text else self._whole_message(item)
        call = tool_call(item)
        return self._chunk(other_content=str(kind)) if call is None else self._item_added(data)

    def _whole_arguments(self, index: int, item: Mapping[str, Any]) -> Chunks:
        """The arguments of a call that had no delta."""
        if item.get("type") == "custom_tool_call":
            return self._call(index, custom={"input": item.get("input") or ""})
        return self._call(index, function={"arguments": item.get("arguments") or "{}"})

    def _whole_message(self, item: Mapping[str, Any]) -> Chunks:
        """The text or the refusal of a message that had no delta."""
        answer = answer_of([item])
        self._refused = self._refused or bool(answer.get("refusal"))
        fields = {name: answer.get(name) for name in ("content", "refusal")}
        return self._chunk(**{name: value for name, value in fields.items() if value})

    def _text(self, data: dict[str, Any]) -> Chunks:
        self._with_text.add(data.get("output_index", 0))
        logprobs = data.get("logprobs")
        held = {"content": logprobs, "refusal": None} if logprobs else None
        return (self._make.chunk({"content": data["delta"]}, logprobs=held),)

    def _refusal(self, data: dict[str, Any]) -> Chunks:
        self._with_text.add(data.get("output_index", 0))
        self._refused = True
        return self._chunk(refusal=data["delta"])

    def _reasoning(self, data: dict[str, Any]) -> Chunks:
        return self._chunk(reasoning_content=data["delta"])

    def _reasoning_part(self, data: dict[str, Any]) -> Chunks:
        return self._chunk(reasoning_content="\n\n") if data.get("summary_index") else ()

    def _arguments(self, data: dict[str, Any]) -> Chunks:
        index = data.get("output_index", 0)
        if index not in self._calls or not data["delta"]:
            return ()
        self._with_arguments.add(index)
        return self._call(index, function={"arguments": data["delta"]})

    def _custom_input(self, data: dict[str, Any]) -> Chunks:
        index = data.get("output_index", 0)
        self._with_arguments.add(index)
        return self._call(index, custom={"input": data["delta"]})

    def _annotation(self, data: dict[str, Any]) -> Chunks:
        return self._chunk(annotations=[nested_annotation(data["annotation"])])

    def _call(self, index: int, **fields: Any) -> Chunks:
        return self._chunk(tool_calls=[{"index": self._calls[index], **fields}])

    def _chunk(self, **delta: Any) -> Chunks:
        return (self._make.chunk(delta),)  # type: ignore[arg-type] # a delta


def _failure(data: dict[str, Any]) -> dict[str, Any]:
    """The failure that an event reports: in its response, in itself, or it is one itself."""
    response = data.get("response")
    return response if isinstance(response, dict) and response.get("error") else data
