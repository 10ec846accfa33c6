"""Translates the input items of a Responses request to canonical messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.gateway.formats.responses.content import contents
from multirouter.gateway.formats.responses.tools import Tools, call_arguments
from multirouter.gateway.http.http_error import invalid_field, shown
from multirouter.providers.openai.responses.reasoning_state import decode_state, summary_text
from multirouter.providers.value_types import is_mapping

Message = dict[str, Any]
Item = Mapping[str, Any]

_ROLES = frozenset({"user", "assistant", "system", "developer"})
_NOT_ARGUMENTS = ("id", "type", "call_id", "status", "execution", "name", "namespace", "caller")
_SUMMARY = "Summary of the conversation so far:\n\n"


class Conversation:
    """Collects the messages of a list of items.

    Items of one assistant's turn (reasoning, text, calls) become one message. The outputs of its
    calls follow it directly, as most services require.

    Args:
        tools: the tools of the request; tools that an item brings are added.

    Attributes:
        dropped: what has no counterpart, by type.
    """

    def __init__(self, tools: Tools) -> None:
        self.dropped: list[str] = []
        self._tools = tools
        self._messages: list[Message] = []
        self._turn: _AssistantTurn = _AssistantTurn()
        self._signatures: dict[str, Any] = {}

    def add(self, items: Any, param: str = "input") -> None:
        """Adds items.

        Args:
            items: a text, or a list of items.
            param: the field, for errors.

        Raises:
            HTTPError: 400, for what is neither.
        """
        if isinstance(items, str):
            self._add_message({"role": "user", "content": items}, param)
            return
        if not isinstance(items, list):
            raise invalid_field(param, f"must be a string or a list of items, got {shown(items)}")
        for number, item in enumerate(items):
            if not is_mapping(item):
                raise invalid_field(f"{param}[{number}]", f"must be an object, got {shown(item)}")
            self._add_item(item, f"{param}[{number}]")

    def messages(self) -> list[Message]:
        """All messages, in order."""
        self._end_turn()
        return _outputs_behind_calls(self._messages)

    def _add_item(self, item: Item, param: str) -> None:
        kind = item.get("type") or "message"
        if kind == "message":
            self._add_message(item, param)
        elif kind == "reasoning":
            self._add_reasoning(item)
        elif kind == "additional_tools":
            self._tools.add(item.get("tools"), f"{param}.tools")
        elif kind == "compaction":
            self._add_compaction(item)
        elif not isinstance(item.get("call_id"), str):
            self.dropped.append(str(kind))
        elif str(kind).endswith("_output"):
            self._add_output(item, param)
        else:
            self._add_call(str(kind), item)

    def _add_message(self, item: Item, param: str) -> None:
        role, content = item.get("role"), item.get("content")
        if not isinstance(role, str):
            raise invalid_field(f"{param}.role", f"must be a string, got {shown(role)}")
        if role not in _ROLES:
            self.dropped.append(f"message.{role}")
            role = "user"
        parts, refusal = contents(content, f"{param}.content", self.dropped)
        if role == "assistant":
            self._turn.add_text(parts, refusal)
        elif parts:
            self._end_turn()
            self._messages.append({"role": role, "content": _plain(parts)})

    def _add_reasoning(self, item: Item) -> None:
        state = decode_state(item.get("encrypted_content"))
        if state is None:
            if item.get("encrypted_content"):
                return  # only the service that encrypted it can read it
            state = {"reasoning_content": summary_text(item)}
        reasons = state.get("reasoning_content") or state.get("thinking_blocks")
        if reasons and self._turn.has_output:
            self._end_turn()  # so that the order of reasoning and output is kept
        self._turn.add_state(state)
        calls = state.get("calls")
        if isinstance(calls, dict):
            self._signatures.update(calls)

    def _add_compaction(self, item: Item) -> None:
        state = decode_state(item.get("encrypted_content"))
        if state is None:
            self.dropped.append("compaction")
        else:
            self._end_turn()
            text = _SUMMARY + str(state.get("summary") or "")
            self._messages.append({"role": "user", "content": text})

    def _add_call(self, kind: str, item: Item) -> None:
        name, namespace = item.get("name"), item.get("namespace")
        arguments = item.get("arguments")
        if kind == "custom_tool_call":
            arguments = {"input": item.get("input") or ""}
        elif kind != "function_call":
            name = name or kind.removesuffix("_call")
            if arguments is None:
                arguments = call_arguments(item, _NOT_ARGUMENTS)
        call_id = item["call_id"]
        call: dict[str, Any] = {
            "id": call_id,
            "type": "function",
            "function": {
                "name": self._tools.function_name(str(name), namespace),
                "arguments": _text(arguments) or "{}",
            },
        }
        if call_id in self._signatures:
            call["extra_content"] = self._signatures[call_id]
        self._turn.calls.append(call)

    def _add_output(self, item: Item, param: str) -> None:
        output = item.get("output")
        if isinstance(item.get("tools"), list):  # found by a search of tools
            self._tools.add(item["tools"], f"{param}.tools")
        if output is None:
            output = _text(call_arguments(item, _NOT_ARGUMENTS))
        if isinstance(output, list) and all(_is_part(part) for part in output):
            parts, _ = contents(output, f"{param}.output", self.dropped)
            content: Any = _plain(parts)
        else:
            content = _text(output)
        self._end_turn()
        self._messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": content})

    def _end_turn(self) -> None:
        message = self._turn.message()
        if message is not None:
            self._messages.append(message)
            self._turn = _AssistantTurn()


class _AssistantTurn:
    """One assistant message in the making."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self._parts: list[dict[str, Any]] = []
        self._refusal = ""
        self._reasoning = ""
        self._blocks: list[Any] = []
        self._extra: Any = None

    @property
    def has_output(self) -> bool:
        """Whether it has more than reasoning."""
        return bool(self.calls or self._parts or self._refusal)

    def add_text(self, parts: list[dict[str, Any]], refusal: str) -> None:
        self._parts += parts
        self._refusal += refusal

    def add_state(self, state: Mapping[str, Any]) -> None:
        text, blocks = state.get("reasoning_content"), state.get("thinking_blocks")
        if isinstance(text, str):
            self._reasoning += text
        if isinstance(blocks, list):
            self._blocks += blocks
        self._extra = state.get("extra_content") or self._extra

    def message(self) -> Message | None:
        """The message; None if it has nothing."""
        if not (self.has_output or self._reasoning or self._blocks):
            return None
        content = _plain(self._parts) if self._parts else None
        message: Message = {"role": "assistant", "content": content}
        fields = {
            "refusal": self._refusal,
            "reasoning_content": self._reasoning,
            "thinking_blocks": self._blocks,
            "tool_calls": self.calls,
            "extra_content": self._extra,
        }
        message.update((name, value) for name, value in fields.items() if value)
        return message


def _outputs_behind_calls(messages: Iterable[Message]) -> list[Message]:
    """The messages with each tool's output directly behind its call."""
    latest: dict[str, list[Message]] = {}
    others: list[tuple[Message, list[list[Message]]]] = []
    for message in messages:
        if message["role"] == "tool" and message["tool_call_id"] in latest:
            latest[message["tool_call_id"]].append(message)
            continue
        outputs: list[list[Message]] = []
        for call in message.get("tool_calls") or ():
            outputs.append([])
            latest[call["id"]] = outputs[-1]  # an id may occur again in a later turn
        others.append((message, outputs))
    ordered: list[Message] = []
    for message, own in others:
        ordered.append(message)
        for results in own:
            ordered += results
    return ordered


def _plain(parts: list[dict[str, Any]]) -> Any:
    """A single text as a string, which every service accepts; other parts as a list."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return parts[0]["text"]
    return parts or ""


def _is_part(part: object) -> bool:
    return is_mapping(part) and isinstance(part.get("type"), str)


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
