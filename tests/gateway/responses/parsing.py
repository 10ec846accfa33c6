"""Parses events and answers of the Responses format with the types of the official SDK."""

from __future__ import annotations

import json
from typing import Any

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def events_of(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream; each is checked against the SDK's type, its name and its number."""
    events = []
    for number, block in enumerate(data.decode().removesuffix("\n\n").split("\n\n")):
        name, _, line = block.partition("\n")
        event = json.loads(line.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        _EVENT.validate_python(event)
        events.append(event)
    return events


def response_of(answer: dict[str, Any]) -> Response:
    """A whole answer as the SDK's type."""
    return Response.model_validate(answer)


def assembled(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items that a client has when it joins the deltas itself, each with its text."""
    items: dict[int, dict[str, Any]] = {}
    for event in events:
        kind = event["type"]
        if kind == "response.output_item.added":
            items[event["output_index"]] = {"item": event["item"], "text": "", "done": None}
        elif kind.endswith(".delta"):
            items[event["output_index"]]["text"] += event["delta"]
        elif kind == "response.output_item.done":
            items[event["output_index"]]["done"] = event["item"]
    return [items[index] for index in sorted(items)]
