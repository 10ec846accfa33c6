"""`accept=` with a JSON Schema, for every supported format of answers."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    RULES,
    CircuitEffect,
    ConfigurationError,
    FailureKind,
    MultiProviderRouter,
    Provider,
    RetryPolicy,
    Route,
    json_schema,
)

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


def responses(text: str) -> dict[str, Any]:
    """An answer of OpenAI's Responses, with a call that the service made itself."""
    parts = [{"type": "output_text", "text": text[:5]}, {"type": "output_text", "text": text[5:]}]
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    return {
        "object": "response",
        "output": [reasoning, search, {"type": "message", "content": parts}],
    }


def sdk(text: str) -> Any:
    return SimpleNamespace(model_dump=lambda: openai(text))


@pytest.mark.parametrize("shape", [str, str.encode, openai, anthropic, gemini, responses, sdk])
def test_the_content_must_match_the_schema(shape: Any) -> None:
    """In every supported format, the text of the answer must be JSON that matches the schema."""
    accept = json_schema(PERSON)
    assert accept(shape(GOOD)) is True
    assert accept(shape(BAD)) == "$.age: -1 is less than the minimum of 0"
    assert str(accept(shape("Sure! {"))).startswith("invalid JSON")


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [{"message": {"content": None, "tool_calls": [{"id": "1"}]}}]},
        {"choices": [{"message": {"content": "One moment.", "tool_calls": [{"id": "1"}]}}]},
        {"choices": [{"message": {"content": "", "function_call": {"name": "f"}}}]},
        {
            "type": "message",
            "content": [{"type": "text", "text": "x"}, {"type": "tool_use", "name": "f"}],
        },
        {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]},
        {"candidates": [{"content": {"parts": [{"function_call": {"name": "f"}}]}}]},
        {"object": "response", "output": [{"type": "function_call", "call_id": "c", "name": "f"}]},
        {
            "object": "response",
            "output": [*responses("One moment.")["output"], {"type": "x_call", "call_id": "c"}],
        },
    ],
)
def test_an_answer_that_calls_tools_is_accepted(answer: Any) -> None:
    """A correct tool call is not an answer without JSON."""
    assert json_schema(PERSON)(answer) is True


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        (f"```json\n{GOOD}\n```", True),
        (f"```\n{GOOD}\n```\n", True),
        (f"Here it is:\n```json\r\n{GOOD}\r\n```\nAnything else?", True),
        (f"~~~json\n{GOOD}\n~~~", True),
        (f"\ufeff{GOOD}", True),
        (f"```json\n{GOOD}\n~~~", False),
        (f"```json\n{BAD}\n```", False),
        ("```json\nnot JSON\n```", False),
        (f"```json\n{GOOD}\n```\n```json\n{GOOD}\n```", False),
        (f"`{GOOD}`", False),
    ],
)
@pytest.mark.parametrize("shape", [str, str.encode, openai])
def test_fenced_json_is_read(shape: Any, text: str, accepted: bool) -> None:
    """The only fenced code block of the text is the content; two are ambiguous."""
    assert (json_schema(PERSON)(shape(text)) is True) is accepted


def test_data_of_an_unknown_format_is_validated_as_it_is() -> None:
    """An answer of an unknown format is itself the content."""
    accept = json_schema(PERSON)
    assert accept({"name": "Ada"}) is True
    assert accept({"object": "response", "output": "x", "name": "Ada"}) is True
    assert str(accept({"object": "response", "output": [None]})).startswith("invalid JSON")
    assert accept({"age": 1}) == "$: 'name' is a required property"
    assert accept([1]) == "$: [1] is not of type 'object'"
    assert accept({"choices": [{"message": {"content": None}}]}) is not True


def test_the_reason_is_cut_to_its_maximum_length() -> None:
    """However long the answer, the trail gets at most one line of it."""
    assert len(str(json_schema({"const": 1})("[" + "1," * 500 + "1]"))) <= 160


def test_an_invalid_schema_raises_at_construction() -> None:
    """It raises for the router and for a route alike."""
    invalid = {"type": "objekt"}
    provider = Provider("a", answering(GOOD))
    with pytest.raises(ConfigurationError, match="invalid JSON Schema: 'objekt'"):
        MultiProviderRouter([provider], accept=invalid, registry=CollectorRegistry())
    with pytest.raises(ConfigurationError, match="invalid JSON Schema: 'objekt'"):
        routes = [Route("r", ["a"], accept=invalid)]
        MultiProviderRouter([provider], routes=routes, registry=CollectorRegistry())


DRAFT_4 = "http://json-schema.org/draft-04/schema#"
CASES: list[tuple[dict[str, Any], list[Any]]] = [
    (PERSON, ['{"name": "Ada"}', "{}", '{"name": 1}', '{"name": "A", "age": 1.0}', GOOD, BAD]),
    ({"type": "array", "items": {"type": "integer"}}, ["[1, 2]", '[1, "2"]', (1, 2), "[true]"]),
    ({"items": {"type": "integer"}}, [f"[1{'0' * 400}]", f"[-1{'0' * 400}.5]", "[" * 300]),
    ({"type": "string", "format": "date"}, ['"no date"', '"2026-01-01"', "3"]),
    ({"type": "string", "pattern": r"^\d+$"}, ['"12"', r'"12\n"', '"١٢"', '"x"']),
    ({"type": "string", "pattern": r"^(?P<a>x)(?P=a)$"}, ['"xx"', '"x"']),
    ({"$schema": DRAFT_4, "maximum": 3, "exclusiveMaximum": True}, ["2", "3", "4", '"x"']),
    ({"$schema": "https://example.com/own", "minimum": 3}, ["2", "3"]),
    ({"enum": [1, None, {"a": []}]}, ["1", "true", "null", '{"a": []}', "0"]),
    ({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, ["1", "2.5", "3"]),
    ({"type": "number"}, ["NaN", "Infinity", "1", '"1"', float("nan")]),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}}, ["null", "1"]),
    ({"propertyNames": {"maxLength": 1}}, ['{"a": 1}', '{"ab": 1}', r'{"\ud800": 1}']),
    ({"uniqueItems": True}, ["[1, 1.0]", "[1, true]", '[{"a": 1}, {"a": 1}]', "[]"]),
    ({}, [object(), b"1", {"a": b"x"}, "null"]),
]


@pytest.mark.parametrize(("schema", "contents"), CASES)
def test_the_fast_validator_changes_no_result(
    schema: dict[str, Any], contents: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With jsonschema-rs and without it, the same contents are valid, with the same errors."""
    pytest.importorskip("jsonschema_rs")
    accept = json_schema(schema)
    with_rust = [accept(content) for content in contents]
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    accept = json_schema(schema)
    assert with_rust == [accept(content) for content in contents]


def test_valid_answers_are_checked_by_the_fast_validator(monkeypatch: pytest.MonkeyPatch) -> None:
    """What jsonschema-rs finds valid is not validated by jsonschema in addition."""
    pytest.importorskip("jsonschema_rs")
    from jsonschema import Draft202012Validator

    accept = json_schema(PERSON)

    def slow(self: Any, instance: Any) -> Any:
        raise AssertionError(f"jsonschema validated {instance!r}")

    monkeypatch.setattr(Draft202012Validator, "iter_errors", slow)
    assert accept(GOOD) is True
    with pytest.raises(AssertionError, match="jsonschema validated"):
        accept(BAD)


def test_multiples_of_decimal_fractions() -> None:
    """jsonschema-rs compares decimal numbers: 0.3 is a multiple of 0.1, which floats deny."""
    pytest.importorskip("jsonschema_rs")
    accept = json_schema({"multipleOf": 0.1})
    assert accept("0.3") is True
    assert accept("0.35") == "$: 0.35 is not a multiple of 0.1"


def test_nothing_is_fetched() -> None:
    """A schema with a remote reference is built without a request, and its use is an error."""
    accept = json_schema({"$ref": "http://192.0.2.1/never.json"})
    with pytest.raises(Exception, match=r"192\.0\.2\.1"):
        accept("1")


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra to install."""
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(ConfigurationError, match=r"multirouter\[schema\]"):
        json_schema(PERSON)


def answering(text: str) -> Any:
    async def call(request: str) -> str:
        return text

    return call


async def test_an_answer_that_violates_the_schema_fails_over() -> None:
    """It is a failed attempt; the trail has the reason."""
    providers = [Provider("bad", answering(BAD)), Provider("good", answering(GOOD))]
    route = Route("chain", ["bad", "good"], accept=PERSON)
    registry = CollectorRegistry()
    async with MultiProviderRouter(providers, routes=[route], registry=registry) as router:
        outcome = await router.call_outcome("q", route="chain")
    assert outcome.value == GOOD
    first = outcome.attempts[0]
    assert (first.verdict.kind, first.verdict.reason) == (
        "invalid",
        "$.age: -1 is less than the minimum of 0",
    )


async def test_rejected_answers_leave_the_circuit_closed() -> None:
    """A strict route does not take a provider from the others, unless its rules say so."""
    strict = Route("strict", ["a"], accept=PERSON)
    failure = replace(RULES[FailureKind.INVALID], circuit=CircuitEffect.FAILURE)
    harsh = Route("harsh", ["a"], accept=PERSON, rules={"invalid": failure})
    router = MultiProviderRouter(
        [Provider("a", answering("plain text"))],
        routes=[strict, harsh],
        registry=CollectorRegistry(),
        retry=RetryPolicy(attempts=1),
    )
    async with router:
        for _ in range(10):
            assert not (await router.call_outcome("q", route="strict")).ok
        assert router.circuit_state("a") == "closed"
        assert await router.call("q") == "plain text"
        for _ in range(3):
            await router.call_outcome("q", route="harsh")
        assert router.circuit_state("a") == "open"
