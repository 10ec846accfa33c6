"""Streams cut behind every event: a client gets the whole answer or an error, never half a call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multirouter.testing.fakes.answers import Answer, ParsedRequest, ToolCall
from multirouter.testing.fakes.anthropic import AnthropicFormat
from multirouter.testing.fakes.gemini import GeminiFormat
from multirouter.testing.fakes.openai import OpenAIFormat
from multirouter.testing.fakes.responses import ResponsesFormat
from tests.gateway.upstream import Dropped, Sent, gateway_before
from tests.gateway.wandering.clients import CLIENTS
from tests.gateway.wandering.sdk_types import check_events, ended, error_of

pytestmark = [pytest.mark.backends("asyncio")]

FORMATS: dict[str, Any] = {
    "chat": OpenAIFormat,
    "responses": ResponsesFormat,
    "anthropic": AnthropicFormat,
    "gemini": lambda: GeminiFormat("gemini-3-x", stream=True),
}
NAME = "read"
CALLS = [
    ToolCall("call_1", NAME, {"a": [1]}),
    ToolCall("call_2", NAME, {"b": ""}),
]
PIECES = ["Reading ", "both. "]
TEXT = "".join(PIECES)


def events_of(kind: str, answer: Answer) -> list[bytes]:
    form = FORMATS[kind]()
    parsed = ParsedRequest(model="m", prompt="", stream=True, include_usage=True)
    return [event.encoded(b"\n") for event in form.events(parsed, answer)]


def prefilled(sent: Sent) -> str:
    """The beginning of the answer that a request has."""
    last = (sent.body.get("messages") or sent.body.get("contents") or sent.body["input"])[-1]
    if last.get("role") not in {"assistant", "model"}:
        return ""
    content = last.get("content") or last.get("parts")
    return content if isinstance(content, str) else "".join(one["text"] for one in content)


class Cut:
    """The replies of a service that breaks each stream, and of one that does not.

    Streams break by a lost connection and by an error event, in turns.

    Attributes:
        events: how many events a stream has before it breaks.
    """

    def __init__(self, kind: str) -> None:
        self.events = 0
        self._kind = kind
        self.whole = events_of(kind, Answer(["Let me ", "think."], PIECES, CALLS, "calls"))

    @property
    def first_call(self) -> int:
        """The number of events before the first that tells of a call."""
        return next(number for number, one in enumerate(self.whole) if b"call_1" in one)

    @property
    def end(self) -> int:
        """The number of events after which the answer is proven complete."""
        marks = (b'finish_reason": "', b"finishReason", b"message_delta", b"response.completed")
        return 1 + next(n for n, one in enumerate(self.whole) if any(m in one for m in marks))

    def breaks(self, sent: Sent) -> Any:
        data = b"".join(self.whole[: self.events])
        if self.events % 2:
            raise Dropped(data)
        return data + FORMATS[self._kind]().error_event().encoded(b"\n")

    def answers(self, sent: Sent) -> Any:
        rest = TEXT.removeprefix(prefilled(sent))
        return b"".join(events_of(self._kind, Answer([], [rest], CALLS, "calls")))


def whole_calls(kind: str, events: list[Any]) -> list[tuple[str, Any]]:
    """The calls that a client may take for complete before the end of the stream."""
    if kind == "responses":
        items = [e["item"] for e in events if e["type"] == "response.output_item.done"]
        calls = [item for item in items if item["type"] == "function_call"]
        return [(call["name"], json.loads(call["arguments"])) for call in calls]
    if kind == "gemini":
        candidates = [one for event in events for one in event.get("candidates", ())]
        parts = [p for one in candidates for p in one["content"].get("parts", ())]
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        return [(call["name"], call["args"]) for call in calls]
    if kind == "messages":
        calls, arguments = [], None
        for event in events:
            if (
                event["type"] == "content_block_start"
                and event["content_block"]["type"] == "tool_use"
            ):
                arguments = ""
            elif event["type"] == "content_block_delta" and arguments is not None:
                arguments += event["delta"]["partial_json"]
            elif event["type"] == "content_block_stop" and arguments is not None:
                calls.append((NAME, json.loads(arguments)))
                arguments = None
        return calls
    return []  # chat completions have no end of a call but the finish reason


EXPECTED = [(call.name, call.arguments) for call in CALLS]


@pytest.mark.parametrize("upstream", FORMATS)
@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_cut_at_every_event(kind: str, upstream: str) -> None:
    """Before a client gets a part of a call another provider goes on; behind it, it gets an error.

    Clients of Gemini get calls whole, so nothing of one is sent before the answer is complete; only
    from a service of their own format they come as they are.
    """
    cut = Cut(upstream)
    upstreams = ((upstream, cut.breaks), (upstream, cut.answers))
    async with gateway_before(*upstreams) as (harness, _):
        harness.router.hold("p0", "closed")
        for events in range(len(cut.whole)):
            cut.events = events
            client = CLIENTS[kind]([NAME], "m", keeps=True, invents=False)
            path, body = client.request(stream=True)
            answer = await harness.post(path, json.dumps(body).encode())
            assert answer.status == 200
            got = check_events(kind, answer)
            where = (events, got)
            held = kind == "gemini" != upstream
            if held or events <= cut.first_call or events >= cut.end:
                assert ended(kind, got), where
            if ended(kind, got):
                turn = client.receive(answer, stream=True)
                assert (turn.text, turn.calls) == (TEXT, EXPECTED), where
            else:
                assert answer.broken, where
                assert error_of(kind, got[-1]), where
                calls = whole_calls(kind, got)
                assert calls == EXPECTED[: len(calls)], where
