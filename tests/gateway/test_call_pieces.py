"""Pieces of parallel tool calls become separate calls, each with its id and name once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.gateway.upstream import Sent, gateway_before, sse

pytestmark = [pytest.mark.backends("asyncio")]


def piece(index: int | None, id_: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    call = {"type": "function", "function": function, **({"id": id_} if id_ else {})}
    return call if index is None else {"index": index, **call}


STREAMS = {
    "usual": [
        piece(0, "c1", "Read", ""),
        piece(0, None, None, '{"a":1}'),
        piece(1, "c2", "Bash", '{"b"'),
        piece(1, None, None, ":2}"),
    ],
    "index 0 for all": [piece(0, "c1", "Read", '{"a":1}'), piece(0, "c2", "Bash", '{"b":2}')],
    "no index": [piece(None, "c1", "Read", '{"a":1}'), piece(None, "c2", "Bash", '{"b":2}')],
    "no index, pieces": [
        piece(None, "c1", "Read", '{"a"'),
        piece(None, None, None, ":1}"),
        piece(None, "c2", "Bash", '{"b":2}'),
    ],
    "neither index nor id": [
        piece(None, None, "Read", '{"a":1}'),
        piece(None, None, "Bash", '{"b":2}'),
    ],
    "repeated id and name": [
        piece(0, "c1", "Read", '{"a"'),
        piece(0, "c1", "Read", ":1}"),
        piece(1, "c2", "Bash", '{"b":2}'),
    ],
    "index 0, pieces": [
        piece(0, "c1", "Read", '{"a"'),
        piece(0, "c1", None, ":1}"),
        piece(0, "c2", "Bash", '{"b"'),
        piece(0, None, None, ":2}"),
    ],
    "interleaved": [
        piece(0, "c1", "Read", '{"a"'),
        piece(1, "c2", "Bash", '{"b"'),
        piece(0, None, None, ":1}"),
        piece(1, None, None, ":2}"),
    ],
    "objects": [piece(0, "c1", "Read", {"a": 1}), piece(1, "c2", "Bash", {"b": 2})],
    "from 1": [piece(1, "c1", "Read", '{"a":1}'), piece(2, "c2", "Bash", '{"b":2}')],
}


def chunks(pieces: list[Any], finish: str = "tool_calls") -> bytes:
    deltas: list[Any] = [{"role": "assistant", "tool_calls": [pieces[0]]}]
    deltas += [{"tool_calls": [one]} for one in pieces[1:]]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    return sse(*({"id": "c", "model": "m", "choices": [choice]} for choice in choices))


@pytest.mark.parametrize("name", STREAMS)
async def test_openai_clients_join_two_calls(name: str) -> None:
    """A client that joins by index gets both calls whole, with their own ids and names."""
    async with gateway_before(("openai", lambda _: chunks(STREAMS[name]))) as (harness, _):
        answer = await harness.send(stream=True)
    calls: dict[int, list[str]] = {}
    for event in answer.events:
        for call in (event["choices"] or [{"delta": {}}])[0]["delta"].get("tool_calls", ()):
            made = calls.setdefault(call["index"], ["", "", ""])
            made[0] += call.get("id") or ""
            made[1] += call["function"].get("name") or ""
            made[2] += call["function"].get("arguments") or ""
    (first, second) = calls.values()
    assert (first[1], json.loads(first[2])) == ("Read", {"a": 1})
    assert (second[1], json.loads(second[2])) == ("Bash", {"b": 2})
    assert first[0] != second[0]
    if name != "neither index nor id":
        assert [first[0], second[0]] == ["c1", "c2"]


@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
@pytest.mark.parametrize("name", STREAMS)
async def test_anthropic_clients_get_two_blocks(name: str, finish: str) -> None:
    """Each call is a block of its own, and the stop reason says so, whatever the service says."""

    def reply(_: Sent) -> Any:
        return chunks(STREAMS[name], finish)

    async with gateway_before(("openai", reply)) as (harness, _):
        answer = await harness.send(path="/v1/messages", max_tokens=9, stream=True)
    blocks = [e["content_block"]["name"] for e in answer.events if "content_block" in e]
    inputs: dict[int, str] = {}
    for event in answer.events:
        if event["type"] == "content_block_delta":
            text = event["delta"]["partial_json"]
            inputs[event["index"]] = inputs.get(event["index"], "") + text
    assert blocks == ["Read", "Bash"]
    assert [json.loads(text) for text in inputs.values()] == [{"a": 1}, {"b": 2}]
    stops = [e["delta"]["stop_reason"] for e in answer.events if e["type"] == "message_delta"]
    assert stops == ["tool_use"]


async def test_stop_beside_calls_in_a_whole_answer() -> None:
    """The same holds for a whole answer."""
    message = {"role": "assistant", "content": None, "tool_calls": [piece(0, "c1", "Read", "{}")]}
    body = {"id": "c", "model": "m", "choices": [{"message": message, "finish_reason": "stop"}]}
    async with gateway_before(("openai", lambda _: body)) as (harness, _):
        answer = await harness.send(path="/v1/messages", max_tokens=9)
    assert answer.json["stop_reason"] == "tool_use"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_reasoning_by_either_name(field: str, stream: bool) -> None:
    """Reasoning reaches clients of other formats by whichever name a service gives it."""
    part = {"role": "assistant", "content": "ok", field: "I think hard."}
    choice = {"index": 0, "message": part, "finish_reason": "stop"}
    events = sse(
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": part}]},
        {"id": "c", "model": "m", "choices": [{"delta": {}, "finish_reason": "stop"}]},
    )
    body = {"id": "c", "model": "m", "choices": [choice]}
    async with gateway_before(("openai", lambda _: events if stream else body)) as (harness, _):
        anthropic = await harness.send(path="/v1/messages", max_tokens=9, stream=stream)
        thinking = {"thinkingConfig": {"includeThoughts": True}}
        data = {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": thinking}
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        path = f"/v1beta/models/m:{method}"
        gemini = await harness.post(path, json.dumps(data).encode())
    assert b"I think hard." in anthropic.data
    assert b"I think hard." in gemini.data
