"""The fakes reject what the services reject."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.testing.fakes import media_in, tool_results
from multirouter.testing.fakes.answers import SIGNATURE
from multirouter.testing.fakes.anthropic import AnthropicFormat
from multirouter.testing.fakes.formats import RequestRejected

HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
USER = {"role": "user", "content": "hi"}
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]}
NEW, OLD = "claude-opus-4-8", "claude-haiku-4-5-20251001"


def anthropic(model: str, **fields: Any) -> Any:
    body = {"model": model, "max_tokens": 2000, "messages": [USER], **fields}
    return AnthropicFormat().read(HEADERS, body)


def thinking(signature: str, *blocks: Any) -> list[Any]:
    block = {"type": "thinking", "thinking": "hm", "signature": signature}
    return [USER, {"role": "assistant", "content": [block, *blocks]}, USER]


BUDGET = {"type": "enabled", "budget_tokens": 1024}
FORMAT = {"type": "json_schema", "schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("model", "fields", "named"),
    [
        (NEW, {"temperature": 0.5}, "temperature"),
        (NEW, {"top_k": 5}, "top_k"),
        (NEW, {"thinking": BUDGET}, "thinking.type"),
        (NEW, {"messages": [USER, {"role": "assistant", "content": "A"}]}, "prefill"),
        (OLD, {"thinking": {"type": "adaptive"}}, "adaptive"),
        (OLD, {"output_config": {"effort": "low"}}, "effort"),
        (OLD, {"temperature": 0.5, "top_p": 0.5}, "both"),
        (OLD, {"thinking": {**BUDGET, "budget_tokens": 2000}}, "budget_tokens"),
        (NEW, {"messages": thinking("")}, "signature"),
        (NEW, {"messages": [USER, {"role": "assistant", "content": [CALL]}, USER]}, "tool_use"),
        (NEW, {"max_tokens": 500_000}, "max_tokens"),
        (NEW, {"tools": [{"name": "a.b", "input_schema": {}}]}, "tools.0"),
        (NEW, {"output_config": {"format": FORMAT}}, "additionalProperties"),
        (NEW, {"context_management": {}}, "context_management"),
        (NEW, {"messages": [USER, {"role": "system", "content": "x"}]}, "role"),
        (NEW, {"novelty": 1}, "novelty"),
    ],
)
def test_anthropic_rejects(model: str, fields: Any, named: str) -> None:
    """Each is a 400 that names what is wrong, as Anthropic's is."""
    with pytest.raises(RequestRejected) as caught:
        anthropic(model, **fields)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (NEW, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}),
        (NEW, {"messages": thinking(SIGNATURE)}),
        (OLD, {"thinking": BUDGET, "temperature": 1}),
        (OLD, {"messages": [USER, {"role": "assistant", "content": "A"}]}),
        (
            OLD,
            {"thinking": BUDGET, "messages": [*thinking(SIGNATURE, CALL)[:2], RESULT]},
        ),
        ("claude-next", {"temperature": 0.1, "thinking": BUDGET | {"budget_tokens": 1500}}),
    ],
)
def test_anthropic_accepts(model: str, fields: Any) -> None:
    """What the models take passes; an unknown model takes what any does."""
    if model == "claude-next":
        fields = {"temperature": 1, "thinking": fields["thinking"]}
    assert anthropic(model, **fields).model == model


def test_conversations_of_every_format_are_read() -> None:
    """Results of tools and media are found in each format, in order."""
    url = {"url": "data:image/png;base64,AAAA"}
    image = {"type": "image", "source": {"type": "base64", "media_type": "x/y", "data": "BBBB"}}
    bodies: list[Any] = [
        {"messages": [{"role": "tool", "content": "one"}, {"role": "user", "content": [url]}]},
        {"messages": [{"content": [{"type": "tool_result", "content": [{"text": "one"}]}, image]}]},
        {
            "contents": [
                {"parts": [{"functionResponse": {"response": {"output": "one"}}}]},
                {"parts": [{"inlineData": {"mimeType": "x/y", "data": "CCCC"}}]},
            ]
        },
        {"input": [{"type": "function_call_output", "output": "one"}, {"image_url": url["url"]}]},
    ]
    assert [tool_results(body) for body in bodies] == [["one"]] * 4
    assert [media_in(body) for body in bodies] == [["AAAA"], ["BBBB"], ["CCCC"], ["AAAA"]]
