"""Builds the output of an answer from canonical deltas: one item after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multirouter.gateway.formats.openai.logprobs import token_logprobs
from multirouter.gateway.formats.responses.output_items import (
    CallItem,
    Emit,
    Item,
    MessageItem,
    OutputItem,
    ReasoningItem,
)
from multirouter.gateway.formats.responses.tools import Tools


class Output:
    """The output of one answer.

    Text and reasoning make one item at a time. Calls may overlap, since each event names its item.

    Args:
        tools: the tools of the request.
        base: the base of the items' ids.
        emit: gets each event: its type, and its fields by name.
    """

    def __init__(self, tools: Tools, base: str, emit: Emit) -> None:
        self._tools = tools
        self._base = base
        self._emit = emit
        self._items: dict[int, Item] = {}
        self._next = 0
        self._current: ReasoningItem | MessageItem | None = None
        self._calls: dict[int, CallItem] = {}

    @property
    def items(self) -> list[Item]:
        """The items that have ended, in order."""
        return [self._items[index] for index in sorted(self._items)]

    def add_delta(self, delta: Mapping[str, Any], logprobs: Any = None) -> None:
        """Adds a delta of a chunk, or a whole message."""
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        blocks = [one for one in delta.get("thinking_blocks") or () if isinstance(one, Mapping)]
        has_text = any(block.get("thinking") for block in blocks)
        if isinstance(reasoning, str) and reasoning and not has_text:
            self._reasoning().add_text(reasoning)
        for block in blocks:
            self._reasoning().add_block(block)
        content, refusal = delta.get("content"), delta.get("refusal")
        if isinstance(content, str) and content:
            self._message().add_text(content, token_logprobs(logprobs))
        if isinstance(refusal, str) and refusal:
            self._message().add_refusal(refusal)
        if delta.get("annotations"):
            self._message().add_annotations(delta["annotations"])
        if delta.get("extra_content"):
            self._reasoning().add_state({"extra_content": delta["extra_content"]})
        for number, call in enumerate(delta.get("tool_calls") or ()):
            self._call(call.get("index", number), call)

    def close(self, *, whole: bool) -> None:
        """Ends all items.

        Args:
            whole: whether the model ended its answer by itself.
        """
        left: list[OutputItem] = [*self._calls.values()]
        if self._current is not None:
            left.append(self._current)
        self._current = None
        self._calls = {}
        for item in sorted(left, key=lambda one: one.index):
            self._items[item.index] = item.close(whole=whole)

    def resume(self, items: Mapping[int, Item], open_message: MessageItem | None) -> None:
        """Takes over what another stream of the same answer has sent.

        Args:
            items: the items that have ended, by their index.
            open_message: the message that has not; None for none.
        """
        self._items = dict(items)
        self._current = open_message
        last = open_message.index if open_message is not None else -1
        self._next = max([*self._items, last], default=-1) + 1

    def _reasoning(self) -> ReasoningItem:
        if not isinstance(self._current, ReasoningItem):
            self._end_current()
            self._current = ReasoningItem(self._emit, self._take_index(), self._base)
        return self._current

    def _message(self) -> MessageItem:
        if not isinstance(self._current, MessageItem):
            self._end_current()
            index = self._take_index()
            self._current = MessageItem(self._emit, index, f"msg_{self._base}_{index}")
            self._current.begin()
        return self._current

    def _call(self, number: int, call: Mapping[str, Any]) -> None:
        function = call.get("function") or {}
        item = self._calls.get(number)
        if item is None:
            if call.get("extra_content"):
                state = {"calls": {call.get("id"): call["extra_content"]}}
                self._reasoning().add_state(state)
            self._end_current()
            tool = self._tools.tool(function.get("name") or "")
            index = self._take_index()
            item = CallItem(self._emit, index, self._base, str(call.get("id")), tool)
            self._calls[number] = item
        if function.get("arguments"):
            item.add(function["arguments"])

    def _end_current(self) -> None:
        if self._current is not None:
            item, self._current = self._current, None
            self._items[item.index] = item.close(whole=True)

    def _take_index(self) -> int:
        index = self._next
        self._next += 1
        return index
