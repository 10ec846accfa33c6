"""Output items of one answer, and the events that build them up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from multirouter.gateway.formats.responses.tools import Tool
from multirouter.providers.openai.responses.reasoning_state import ITEM_ID, encode_state

Item = dict[str, Any]
Emit = Callable[..., None]


class OutputItem(Protocol):
    """One item that is being built.

    Attributes:
        index: its position in the output.
    """

    index: int

    def close(self, *, whole: bool) -> Item:
        """Emits the last events of the item, and returns it.

        Args:
            whole: whether the answer ended after it, and not in the middle of it.
        """
        ...


class ReasoningItem:
    """Reasoning, as summary texts that clients show, with what the model needs back."""

    def __init__(self, emit: Emit, index: int, base: str) -> None:
        self.index = index
        self._emit = emit
        self._id = f"{ITEM_ID}_{base}_{index}"
        self._texts: list[str] = []
        self._open = False
        self._blocks: list[Any] = []
        self._state: dict[str, Any] = {}
        emit("response.output_item.added", output_index=index, item=self._item("in_progress"))

    def add_text(self, text: str) -> None:
        """Adds text to the current part."""
        if not self._open:
            self._open = True
            self._texts.append("")
            part = {"type": "summary_text", "text": ""}
            self._part_event("response.reasoning_summary_part.added", part=part)
        self._texts[-1] += text
        self._part_event("response.reasoning_summary_text.delta", delta=text)

    def add_block(self, block: Mapping[str, Any]) -> None:
        """Adds a whole signed block; its text has come in pieces before, or comes with it."""
        text = block.get("thinking")
        if not self._open and isinstance(text, str) and text:
            self.add_text(text)
        self._blocks.append(dict(block))
        self._close_part()

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Adds fields of a canonical message that come back with the item."""
        for name, value in state.items():
            old = self._state.get(name)
            merges = isinstance(value, dict) and isinstance(old, dict)
            self._state[name] = {**(old or {}), **value} if merges else value

    def close(self, *, whole: bool) -> Item:
        """See `OutputItem`."""
        self._close_part()
        item = self._item("completed" if whole else "incomplete")
        self._emit("response.output_item.done", output_index=self.index, item=item)
        return item

    def _close_part(self) -> None:
        if self._open:
            self._open = False
            text = self._texts[-1]
            self._part_event("response.reasoning_summary_text.done", text=text)
            part = {"type": "summary_text", "text": text}
            self._part_event("response.reasoning_summary_part.done", part=part)

    def _part_event(self, name: str, **fields: Any) -> None:
        place = {"item_id": self._id, "output_index": self.index}
        self._emit(name, **place, summary_index=len(self._texts) - 1, **fields)

    def _item(self, status: str) -> Item:
        item: Item = {
            "id": self._id,
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": text} for text in self._texts],
        }
        if status != "in_progress":
            state = dict(self._state)
            if self._blocks:
                state["thinking_blocks"] = self._blocks
            elif self._texts:
                state["reasoning_content"] = "\n\n".join(self._texts)
            item["encrypted_content"] = encode_state(state)
        return item


class MessageItem:
    """Text, or a refusal: each is one part of a message."""

    def __init__(self, emit: Emit, index: int, id_: str) -> None:
        self.index = index
        self._emit = emit
        self._id = id_
        self._parts: list[dict[str, Any]] = []
        self._open = False

    def begin(self) -> None:
        """Emits the event of its beginning."""
        item = self._item("in_progress")
        self._emit("response.output_item.added", output_index=self.index, item=item)

    def resume(self, parts: list[dict[str, Any]], *, part_is_open: bool) -> None:
        """Takes over parts that another stream has sent."""
        self._parts = parts
        self._open = part_is_open

    def add_text(self, text: str, logprobs: list[Any]) -> None:
        """Adds text."""
        part = self._part("output_text", "text")
        part["text"] += text
        if logprobs:
            part.setdefault("logprobs", []).extend(logprobs)
        self._part_event("response.output_text.delta", delta=text, logprobs=logprobs)

    def add_refusal(self, text: str) -> None:
        """Adds to the refusal."""
        self._part("refusal", "refusal")["refusal"] += text
        self._part_event("response.refusal.delta", delta=text)

    def add_annotations(self, annotations: list[Any]) -> None:
        """Adds citations to the text."""
        part = self._part("output_text", "text")
        for annotation in annotations:
            flat = _flat_annotation(annotation)
            number = len(part["annotations"])
            part["annotations"].append(flat)
            self._part_event(
                "response.output_text.annotation.added", annotation=flat, annotation_index=number
            )

    def close(self, *, whole: bool) -> Item:
        """See `OutputItem`."""
        self._close_part()
        item = self._item("completed" if whole else "incomplete")
        self._emit("response.output_item.done", output_index=self.index, item=item)
        return item

    def _part(self, kind: str, field: str) -> dict[str, Any]:
        """The open part of a type."""
        if self._open and self._parts[-1]["type"] == kind:
            return self._parts[-1]
        self._close_part()
        part: dict[str, Any] = {"type": kind, field: ""}
        if kind == "output_text":
            part["annotations"] = []
        self._parts.append(part)
        self._open = True
        self._part_event("response.content_part.added", part=dict(part))
        return part

    def _close_part(self) -> None:
        if not self._open:
            return
        self._open = False
        part = self._parts[-1]
        if part["type"] == "refusal":
            self._part_event("response.refusal.done", refusal=part["refusal"])
        else:
            logprobs = part.get("logprobs") or []
            self._part_event("response.output_text.done", text=part["text"], logprobs=logprobs)
        self._part_event("response.content_part.done", part=part)

    def _part_event(self, name: str, **fields: Any) -> None:
        place = {"item_id": self._id, "output_index": self.index}
        self._emit(name, **place, content_index=len(self._parts) - 1, **fields)

    def _item(self, status: str) -> Item:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": list(self._parts),
        }


class CallItem:
    """A call of a tool.

    A call whose arguments are cut gets no events of its end: a client must not take half a command
    for a whole one.
    """

    def __init__(self, emit: Emit, index: int, base: str, call_id: str, tool: Tool) -> None:
        self.index = index
        self._emit = emit
        self._tool = tool
        self._call_id = call_id
        self._id = f"{_PREFIXES[tool.kind]}_{base}_{index}"
        self._arguments = ""
        item = self._item("in_progress", "")
        emit("response.output_item.added", output_index=index, item=item)

    def add(self, arguments: str) -> None:
        """Adds a piece of the arguments, which are JSON."""
        self._arguments += arguments
        if self._tool.kind == "function":
            self._call_event("response.function_call_arguments.delta", delta=arguments)

    def close(self, *, whole: bool) -> Item:
        """See `OutputItem`."""
        arguments = self._arguments or "{}"
        whole = whole or _is_json(arguments)
        value = arguments if self._tool.kind == "function" else _decoded(arguments)
        if self._tool.kind == "custom":
            value = _free_text(value, arguments)
        item = self._item("completed" if whole else "incomplete", value)
        if whole:
            self._emit_end(value, item)
        return item

    def _emit_end(self, value: Any, item: Item) -> None:
        if self._tool.kind == "custom":
            self._call_event("response.custom_tool_call_input.delta", delta=value)
            self._call_event("response.custom_tool_call_input.done", input=value)
        elif self._tool.kind == "function":
            if not self._arguments:
                self._call_event("response.function_call_arguments.delta", delta=value)
            name = self._tool.name
            self._call_event("response.function_call_arguments.done", arguments=value, name=name)
        self._emit("response.output_item.done", output_index=self.index, item=item)

    def _call_event(self, event: str, **fields: Any) -> None:
        self._emit(event, item_id=self._id, output_index=self.index, **fields)

    def _item(self, status: str, value: Any) -> Item:
        tool = self._tool
        item: Item = {"id": self._id, "status": status, "call_id": self._call_id}
        if tool.kind == "other":
            item["type"] = f"{tool.name}_call"
            item["arguments"] = value
            if tool.execution:
                item["execution"] = tool.execution
            return item
        custom = tool.kind == "custom"
        item["type"] = "custom_tool_call" if custom else "function_call"
        item["name"] = tool.name
        item["input" if custom else "arguments"] = value
        if tool.namespace:
            item["namespace"] = tool.namespace
        return item


_PREFIXES: Mapping[str, str] = {"function": "fc", "custom": "ctc", "other": "call"}


def _flat_annotation(annotation: Any) -> Any:
    """A citation as this format has it: its fields are not nested under its type."""
    kind = annotation.get("type") if isinstance(annotation, dict) else None
    inner = annotation.get(kind) if isinstance(kind, str) else None
    return {"type": kind, **inner} if isinstance(inner, dict) else annotation


def _decoded(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _free_text(value: Any, arguments: str) -> str:
    """The input of a custom tool: the one string of its arguments, else all of them."""
    text = value.get("input") if isinstance(value, dict) else value
    return text if isinstance(text, str) else arguments


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
