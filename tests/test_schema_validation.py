"""Answers held against a JSON Schema, in every shape in which they come."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError, MultiProviderRouter, Provider, Route, json_schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
}
GOOD = '{"name": "Ada", "age": 36}'
BAD = '{"name": "Ada", "age": -1}'


def openai(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


def anthropic(text: str) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "text", "text": text}]}


def gemini(text: str) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [{"text": text[:5]}, {"text": text[5:]}]}}]}


def sdk(text: str) -> Any:
    return SimpleNamespace(model_dump=lambda: openai(text))


@pytest.mark.parametrize("shape", [str, str.encode, openai, anthropic, gemini, sdk])
def test_the_content_is_held_against_the_schema(shape: Any) -> None:
    """Whatever shape an answer has, its text must be JSON that meets the schema."""
    judge = json_schema(PERSON)
    assert judge(shape(GOOD)) is True
    assert judge(shape(BAD)) == "$.age: -1 is less than the minimum of 0"
    assert str(judge(shape("Sure! {"))).startswith("no JSON")


def test_data_is_held_against_it_as_it_is() -> None:
    """An answer of no known shape is itself the content."""
    judge = json_schema(PERSON)
    assert judge({"name": "Ada"}) is True
    assert judge({"age": 1}) == "$: 'name' is a required property"
    assert judge([1]) == "$: [1] is not of type 'object'"
    assert judge({"choices": [{"message": {"content": None}}]}) is not True


def test_what_is_wrong_is_told_in_short() -> None:
    """However long the answer, the trail gets no more than a line of it."""
    assert len(str(json_schema({"const": 1})("[" + "1," * 500 + "1]"))) <= 160


def test_what_is_no_schema() -> None:
    """It is refused when the router is made, by router and route alike."""
    wrong = {"type": "objekt"}
    provider = Provider("a", answering(GOOD))
    with pytest.raises(ConfigurationError, match="is no JSON Schema: 'objekt'"):
        MultiProviderRouter([provider], accept=wrong, registry=CollectorRegistry())
    with pytest.raises(ConfigurationError, match="is no JSON Schema: 'objekt'"):
        routes = [Route("r", ["a"], accept=wrong)]
        MultiProviderRouter([provider], routes=routes, registry=CollectorRegistry())


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra to install."""
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(ConfigurationError, match=r"multirouter\[schema\]"):
        json_schema(PERSON)


def answering(text: str) -> Any:
    async def call(request: str) -> str:
        return text

    return call


async def test_a_refused_answer_fails_over() -> None:
    """What does not meet the schema is a failed attempt; the trail says what was wrong."""
    providers = [Provider("bad", answering(BAD)), Provider("good", answering(GOOD))]
    route = Route("chain", ["bad", "good"], accept=PERSON)
    registry = CollectorRegistry()
    async with MultiProviderRouter(providers, routes=[route], registry=registry) as router:
        outcome = await router.call_outcome("who?", route="chain")
    assert outcome.value == GOOD
    first = outcome.attempts[0]
    assert (first.verdict.kind, first.verdict.reason) == (
        "invalid",
        "$.age: -1 is less than the minimum of 0",
    )
