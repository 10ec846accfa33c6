"""What the gateway sends, validated by the types of the official SDKs, strict about what they need.

The SDKs themselves do not validate: they build their objects of whatever arrives. Here each whole
answer, each event and each error has to have every required field, with a value of its type.
"""

from __future__ import annotations

import json
from typing import Any

from anthropic.types import ErrorResponse, Message, RawMessageStreamEvent
from google.genai.types import GenerateContentResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.shared import ErrorObject
from pydantic import TypeAdapter

from tests.gateway.harness import Answer

_MESSAGE_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_RESPONSE_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_STATUSES = frozenset(
    {
        "INVALID_ARGUMENT",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "NOT_FOUND",
        "RESOURCE_EXHAUSTED",
        "CANCELLED",
        "INTERNAL",
        "UNAVAILABLE",
        "DEADLINE_EXCEEDED",
    }
)
"""Source: google.rpc.Code, those that Gemini's API documents."""


def check_whole(kind: str, body: Any) -> Any:
    """A whole answer; returns it.

    Args:
        kind: the format: `chat`, `messages`, `responses` or `gemini`.
        body: the parsed answer.
    """
    if kind == "chat":
        ChatCompletion.model_validate(body, strict=True)
        assert body["choices"]
    elif kind == "messages":
        Message.model_validate(body, strict=True)
    elif kind == "responses":
        Response.model_validate(body)
    else:
        GenerateContentResponse.model_validate(body)
        assert body["candidates"]
    return body


def check_error(kind: str, body: Any, status: int) -> Any:
    """The body of an error; returns its inner object."""
    error = body["error"]
    if kind == "messages":
        ErrorResponse.model_validate(body)
    elif kind == "gemini":
        assert error["code"] == status
        assert error["status"] in _STATUSES
        assert isinstance(error["message"], str)
    else:
        ErrorObject.model_validate(error, strict=True)
    return error


def check_events(kind: str, answer: Answer) -> list[Any]:
    """The events of a stream, each valid by itself and in its order; returns their data.

    The last one may be an error; see `error_of`.
    """
    checks = {"chat": _chat, "messages": _messages, "responses": _responses, "gemini": _gemini}
    return checks[kind](answer.data.decode())


def error_of(kind: str, event: Any) -> Any:
    """The error in an event; None for any other event."""
    if kind == "messages":
        return event.get("error") if event["type"] == "error" else None
    if kind == "responses":
        return event if event["type"] in {"error", "response.failed"} else None
    return event.get("error")


def ended(kind: str, events: list[Any]) -> bool:
    """Whether a client takes a stream of these events for a whole answer."""
    if any(error_of(kind, event) for event in events):
        return False
    if kind == "chat":
        return any(c["finish_reason"] for event in events for c in event["choices"])
    if kind == "gemini":
        return any(c.get("finishReason") for event in events for c in event["candidates"])
    ends = {"message_stop", "response.completed", "response.incomplete"}
    return any(event["type"] in ends for event in events)


def _blocks(data: str) -> list[tuple[str, str]]:
    """The name and the data of each event; comments are left out."""
    found = []
    for block in data.replace("\r\n", "\n").split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        fields = dict(line.split(": ", 1) for line in lines)
        if fields:
            assert len(fields) == len(lines) <= 2
            found.append((fields.get("event", ""), fields["data"]))
    return found


def _chat(data: str) -> list[Any]:
    blocks = _blocks(data)
    events = [json.loads(text) for _, text in blocks if text != "[DONE]"]
    failed = bool(events) and "error" in events[-1]
    if failed:
        ErrorObject.model_validate(events[-1]["error"], strict=True)
    elif blocks:
        assert [text for _, text in blocks].count("[DONE]") == 1
        assert blocks[-1] == ("", "[DONE]")
    chunks = events[:-1] if failed else events
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) <= 1
    finished: set[int] = set()
    begun: set[tuple[int, int]] = set()
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        assert choice["index"] not in finished
        for call in choice["delta"].get("tool_calls") or ():
            key = (choice["index"], call["index"])
            assert ("id" in call) == ("name" in call["function"]) == (key not in begun)
            begun.add(key)
        if choice["finish_reason"]:
            finished.add(choice["index"])
    return events


def _messages(data: str) -> list[Any]:
    """One message, whose blocks come one after the other, each with deltas of its kind."""
    events, open_, index, stopped = [], None, -1, False
    for name, text in _blocks(data):
        event = json.loads(text)
        assert name == event["type"]
        events.append(event)
        if name == "error":
            ErrorResponse.model_validate(event)
            continue
        if name == "ping":
            continue
        _MESSAGE_EVENT.validate_python(event)
        assert (name == "message_start") == (sum(e["type"] != "ping" for e in events) == 1)
        if name == "content_block_start":
            assert open_ is None
            index += 1
            assert event["index"] == index
            open_ = event["content_block"]["type"]
        elif name == "content_block_delta":
            assert event["index"] == index
            assert open_ in _TAKES[event["delta"]["type"]]
        elif name == "content_block_stop":
            assert event["index"] == index
            assert open_ is not None
            open_ = None
        elif name == "message_delta":
            stopped = bool(event["delta"]["stop_reason"])
            assert open_ is None
        elif name == "message_stop":
            assert stopped
    return events


_TAKES = {
    "text_delta": {"text"},
    "citations_delta": {"text"},
    "thinking_delta": {"thinking"},
    "signature_delta": {"thinking"},
    "input_json_delta": {"tool_use", "server_tool_use"},
}
"""The blocks that take each delta."""


def _responses(data: str) -> list[Any]:
    events = []
    for number, (name, text) in enumerate(_blocks(data)):
        event = json.loads(text)
        assert name == event["type"]
        assert event["sequence_number"] == number
        _RESPONSE_EVENT.validate_python(event)
        events.append(event)
    return events


def _gemini(data: str) -> list[Any]:
    events = [json.loads(text) for _, text in _blocks(data)]
    for event in events:
        if "error" not in event:
            GenerateContentResponse.model_validate(event)
    return events
