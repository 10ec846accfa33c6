"""Streams in the Responses format, made of canonical chunks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multirouter.gateway.formats.responses.stream import ResponseEvents, to_response
from multirouter.gateway.formats.responses.tools import Tools
from multirouter.gateway.http.http_error import HTTPError
from multirouter.providers.openai.responses.reasoning_state import decode_state

from .parsing import assembled, events_of, response_of

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
BODY: dict[str, Any] = {
    "model": "m",
    "instructions": "Be brief.",
    "input": "hi",
    "metadata": {"a": "b"},
    "reasoning": {"effort": "high"},
    "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}],
}


def chunk(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "c1", "created": 1, "model": "served", "choices": [choice]}


def call(index: int, **fields: Any) -> dict[str, Any]:
    return chunk(tool_calls=[{"index": index, **fields}])


def tools_of(*tools: Any) -> Tools:
    tools_ = Tools()
    tools_.add(list(tools), "tools")
    return tools_


def streamed(
    *chunks: dict[str, Any], tools: Tools | None = None, error: HTTPError | None = None
) -> list[dict[str, Any]]:
    events = ResponseEvents("req_1", BODY, tools or Tools(), lambda: 7.0)
    data = b"".join(map(events.feed, chunks))
    return events_of(data + (events.end() if error is None else events.error(error)))


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_text() -> None:
    """A text: one message with one part; the last event has the whole response."""
    last = {**chunk("stop"), "usage": USAGE}
    events = streamed(
        chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo"), last
    )
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    response = events[-1]["response"]
    assert response["output"] == [events[-2]["item"]]
    assert response["usage"]["input_tokens_details"] == {
        "cached_tokens": 5,
        "cache_write_tokens": 2,
    }
    assert (response["model"], response["status"], response["id"]) == (
        "served",
        "completed",
        "resp_1",
    )
    assert response["instructions"] == "Be brief."
    assert response["metadata"] == {"a": "b"}


def test_reasoning_keeps_what_the_model_needs_back() -> None:
    """Thinking becomes a summary; the signed blocks are in `encrypted_content`."""
    block = {"type": "thinking", "thinking": "hm well", "signature": "sig"}
    redacted = {"type": "redacted_thinking", "data": "xyz"}
    events = streamed(
        chunk(reasoning_content="hm "),
        chunk(reasoning_content="well"),
        chunk(thinking_blocks=[block]),
        chunk(thinking_blocks=[redacted]),
        chunk(content="Yes."),
        chunk(reasoning_content="more"),
        chunk("stop"),
    )
    first, message, second = assembled(events)
    assert first["done"]["summary"] == [{"type": "summary_text", "text": "hm well"}]
    state = decode_state(first["done"]["encrypted_content"])
    assert state == {"thinking_blocks": [block, redacted]}
    assert message["text"] == "Yes."
    assert decode_state(second["done"]["encrypted_content"]) == {"reasoning_content": "more"}


def test_parallel_calls_keep_their_deltas_apart() -> None:
    """Pieces of calls that come interleaved belong to their own items."""
    events = streamed(
        call(0, id="a", function={"name": "look", "arguments": ""}),
        call(1, id="b", function={"name": "look", "arguments": '{"at"'}),
        call(0, function={"arguments": '{"x":1}'}),
        call(1, function={"arguments": ":2}"}),
        call(2, id="c", function={"name": "look"}),
        chunk("tool_calls"),
    )
    first, second, third = assembled(events)
    assert (first["text"], second["text"], third["text"]) == ('{"x":1}', '{"at":2}', "{}")
    assert [one["done"]["call_id"] for one in (first, second, third)] == ["a", "b", "c"]
    assert second["done"]["arguments"] == '{"at":2}'


def test_custom_and_other_tools() -> None:
    """Calls come back as the tools of the client: free text, a namespace, an own type."""
    tools = tools_of(
        {"type": "custom", "name": "patch"},
        {"type": "namespace", "name": "team", "tools": [{"type": "function", "name": "ask"}]},
        {"type": "find_gizmo", "execution": "client", "parameters": {"type": "object"}},
    )
    names = [function["function"]["name"] for function in tools.functions]
    assert names == ["patch", "team__ask", "find_gizmo"]
    text = '*** Begin\n+"x"\n'
    events = ResponseEvents("req_1", BODY, tools)
    data = events.feed(
        call(0, id="a", function={"name": "patch", "arguments": json.dumps({"input": text})})
    )
    data += events.feed(call(1, id="b", function={"name": "team__ask", "arguments": "{}"}))
    data += events.feed(call(2, id="c", function={"name": "find_gizmo", "arguments": '{"q":"z"}'}))
    data += events.feed(chunk("tool_calls")) + events.end()
    blocks = [
        json.loads(block.partition("\ndata: ")[2]) for block in data.decode().split("\n\n")[:-1]
    ]
    done = [one["item"] for one in blocks if one["type"] == "response.output_item.done"]
    assert [item["type"] for item in done] == [
        "custom_tool_call",
        "function_call",
        "find_gizmo_call",
    ]
    assert done[0]["input"] == text
    assert (done[1]["name"], done[1]["namespace"]) == ("ask", "team")
    assert (done[2]["arguments"], done[2]["execution"], done[2]["call_id"]) == (
        {"q": "z"},
        "client",
        "c",
    )


def test_a_cut_call_is_not_taken_for_a_whole_one() -> None:
    """At the token limit a call without its end gets no `done`, and is marked as incomplete."""
    tools = tools_of({"type": "custom", "name": "patch"})
    events = streamed(
        chunk(content="Now."),
        call(0, id="a", function={"name": "patch", "arguments": '{"input":"rm -rf build'}),
        chunk("length"),
        tools=tools,
    )
    message, cut = assembled(events)
    assert message["done"]["status"] == "completed"
    assert cut["done"] is None
    response = events[-1]["response"]
    assert events[-1]["type"] == "response.incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][1]["status"] == "incomplete"


def test_a_broken_stream_ends_with_both_errors() -> None:
    """Agents read `response.failed`, SDKs `error`; items that were open have no end."""
    error = HTTPError(502, "no provider is left", code="stream_interrupted")
    events = streamed(chunk(content="Hal"), error=error)
    assert kinds(events)[-2:] == ["failed", "error"]
    assert assembled(events)[0]["done"] is None
    assert events[-2]["response"]["error"]["message"] == "no provider is left"
    assert events[-1]["error"]["code"] == "stream_interrupted"


@pytest.mark.parametrize(
    ("delta", "status", "why"),
    [
        ({}, "incomplete", "content_filter"),
        ({"refusal": "I must not."}, "completed", None),
    ],
)
def test_refusals(delta: dict[str, Any], status: str, why: str | None) -> None:
    """A refusal in words is an answer; a filter that took everything is not."""
    events = streamed(chunk(**delta), chunk("content_filter"))
    response = events[-1]["response"]
    assert response["status"] == status
    assert (response["incomplete_details"] or {}).get("reason") == why


def test_citations_and_log_probabilities() -> None:
    """Annotations lose their nesting; log probabilities are with their text."""
    logprobs = [{"token": "x", "bytes": [120], "logprob": -0.1, "top_logprobs": []}]
    citation = {"url": "u", "title": "t", "start_index": 0, "end_index": 1}
    first = chunk(content="x")
    first["choices"][0]["logprobs"] = {"content": logprobs}
    events = streamed(
        first,
        chunk(annotations=[{"type": "url_citation", "url_citation": citation}]),
        chunk("stop"),
    )
    part = events[-1]["response"]["output"][0]["content"][0]
    assert part["annotations"] == [{"type": "url_citation", **citation}]
    assert part["logprobs"] == logprobs


def test_whole_answers_have_the_items_of_streams() -> None:
    """A whole answer has the items that a stream of it would end with."""
    message = {
        "role": "assistant",
        "content": "Yes.",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        ],
        "extra_content": {"google": {"thought_signature": "s"}},
    }
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    answer = {"id": "c1", "model": "served", "choices": [choice], "usage": USAGE}
    response = to_response(answer, "req_1", BODY, Tools(), lambda: 7.0)
    parsed = response_of(response)
    assert parsed.output_text == "Yes."
    assert [item.type for item in parsed.output] == [
        "reasoning",
        "message",
        "reasoning",
        "function_call",
    ]
    delta = {name: value for name, value in message.items() if name != "role"}
    events = streamed(chunk(**delta), {**chunk("tool_calls"), "usage": USAGE})
    assert events[-1]["response"] == response


def test_an_empty_answer_is_whole() -> None:
    """An answer without any content is a response without items."""
    events = streamed(chunk("stop"))
    assert events[-1]["response"]["output"] == []
    assert events[-1]["response"]["status"] == "completed"
