"""What a client has got from a native stream, for the events that continue or end it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from multirouter.providers.json_bytes import loads
from multirouter.providers.transport.sse import Event

Item = dict[str, Any]


@dataclass(slots=True)
class SentState:
    """State of a response after some of its events.

    Attributes:
        number: the sequence number of the next event.
        response: the response as its first event describes it.
        done: the items that have ended, by their index.
        open: those that have not, by their index, with the content that was sent.
        part_is_open: whether the last part of the open message has not ended.
    """

    number: int = 0
    response: dict[str, Any] = field(default_factory=dict)
    done: dict[int, Item] = field(default_factory=dict)
    open: dict[int, Item] = field(default_factory=dict)
    part_is_open: bool = False


def state_after(events: Iterable[Event]) -> SentState:
    """The state after events of one stream, from its beginning."""
    state = SentState()
    for event in events:
        try:
            data = loads(event.data)
            _apply(state, data.get("type") or event.name, data)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            continue  # an event of a shape that no one knows yet changes nothing that is known
    return state


def _apply(state: SentState, kind: str, data: dict[str, Any]) -> None:
    state.number = int(data.get("sequence_number", state.number)) + 1
    if isinstance(data.get("response"), dict):
        state.response = state.response or data["response"]
    elif kind == "response.output_item.added":
        state.open[data["output_index"]] = dict(data["item"])
    elif kind == "response.output_item.done":
        state.open.pop(data["output_index"], None)
        state.done[data["output_index"]] = data["item"]
    elif kind == "response.content_part.added":
        item = state.open[data["output_index"]]
        item["content"] = [*(item.get("content") or ()), dict(data["part"])]
        state.part_is_open = True
    elif kind == "response.content_part.done":
        state.open[data["output_index"]]["content"][-1] = data["part"]
        state.part_is_open = False
    elif kind == "response.output_text.delta":
        _add(state, data, "text")
    elif kind == "response.refusal.delta":
        _add(state, data, "refusal")
    elif kind == "response.reasoning_summary_part.added":
        item = state.open[data["output_index"]]
        item["summary"] = [*(item.get("summary") or ()), dict(data["part"])]
    elif kind == "response.reasoning_summary_text.delta":
        state.open[data["output_index"]]["summary"][-1]["text"] += data["delta"]


def _add(state: SentState, data: dict[str, Any], name: str) -> None:
    part = state.open[data["output_index"]]["content"][-1]
    part[name] = part.get(name, "") + data["delta"]
