"""Checks, transforms, fallbacks and health checks that a file describes by data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from multirouter import AllProvidersFailed, FailureKind, ProviderError
from multirouter.config.building.answer_checks import MAX_SCHEMA, MAX_SCHEMAS, AnswerCheck
from multirouter.config.building.health_checks import ChatCheck, UrlCheck
from multirouter.config.building.transforms import FieldTransform
from multirouter.providers import Http
from multirouter.testing.fakes import FakeProvider
from tests.config.files import config_error, load_config

pytestmark = [pytest.mark.backends("asyncio")]

CITY = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}


def completion(*texts: Any, **message: Any) -> dict[str, Any]:
    """An answer with these texts, one for each choice."""
    choices = [{"message": {"role": "assistant", "content": text, **message}} for text in texts]
    return {"choices": choices}


def asking(schema: Any) -> dict[str, Any]:
    """A request for an answer of a schema."""
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}


def test_empty_answers() -> None:
    """Blank text is empty, in any choice; a tool call is an answer."""
    check = AnswerCheck(non_empty=True)
    assert check(completion("hi"), {}) is True
    for empty in (completion(""), completion(" \n"), completion(None), completion("hi", "")):
        assert check(empty, {}) == "the answer is empty"
    assert check(completion(None, tool_calls=[{"id": "1"}]), {}) is True


@pytest.mark.parametrize(
    ("text", "request_", "accepted"),
    [
        ('{"city": "Rome"}', asking(CITY), True),
        ('```json\n{"city": "Rome"}\n```', asking(CITY), True),
        ('{"city": 7}', asking(CITY), False),
        ("Rome", asking(CITY), False),
        ("Rome", {}, True),
        ("[]", {"response_format": {"type": "json_object"}}, False),
        ("{}", {"response_format": {"type": "json_object"}}, True),
        ("Rome", {"response_format": {"type": "text"}}, True),
        ("Rome", {"response_format": "json"}, True),
        ("Rome", asking("any"), True),
        ("1", asking({"type": "no such type"}), True),
        ('{"pattern": "x"}', asking({"properties": {"pattern": {"type": "string"}}}), True),
        ('{"pattern": 1}', asking({"properties": {"pattern": {"type": "string"}}}), False),
        ('"aaaa"', asking({"type": "string", "pattern": "^(a+)+$b"}), True),
        ("1", asking({"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}}), True),
        ("1", asking({"enum": [{"pattern": 1}]}), False),
        ("Rome", asking({"x": "y" * MAX_SCHEMA}), True),
        ("Rome", asking({"type": {1, 2}}), True),
    ],
)  # fmt: skip
def test_response_format(text: str, request_: Any, accepted: bool) -> None:
    """What the client asked for decides; an invalid, huge or unchecked schema accepts all."""
    assert (AnswerCheck(response_format=True)(completion(text), request_) is True) is accepted


def test_schemas_of_clients_are_bounded() -> None:
    """Checks are kept for the schemas that repeat, and no more than some dozens."""
    check = AnswerCheck(response_format=True)
    for number in range(MAX_SCHEMAS + 5):
        assert check(completion("1"), asking({"const": 1, "title": str(number)})) is True
    assert len(check._kept) == MAX_SCHEMAS


def test_transforms() -> None:
    """Fields are renamed, removed and set; a system prompt by model comes first."""
    request = {
        "model": "gpt-5",
        "max_tokens": 9,
        "user": "u",
        "messages": [{"role": "system", "content": "old"}, {"role": "user", "content": "hi"}],
    }
    transform = FieldTransform(
        rename={"max_tokens": "max_completion_tokens"},
        remove=("user", "missing"),
        set={"seed": 1},
        system={"gpt-*": "for gpt", "*": "for all"},
    )
    changed = transform(request)
    assert changed["max_completion_tokens"] == 9
    assert changed["seed"] == 1
    assert changed.keys().isdisjoint({"max_tokens", "user"})
    assert [m["content"] for m in changed["messages"]] == ["for gpt", "old", "hi"]
    assert request["messages"][0]["content"] == "old"
    other = FieldTransform(system={"*": "new"}, replace_system=True)({**request, "model": None})
    assert [m["content"] for m in other["messages"]] == ["new", "hi"]
    assert FieldTransform(system={"x": "new"})(request)["messages"] == request["messages"]
    assert FieldTransform(system={"*": "x"})("text") == "text"


async def test_health_checks() -> None:
    """An error about the request means healthy, any other one does not."""
    errors = [None, FailureKind.REQUEST, FailureKind.UNSUPPORTED, FailureKind.SERVER]
    sent: list[Any] = []

    async def call(request: Any) -> None:
        sent.append(request)
        kind = errors[len(sent) - 1]
        if kind is not None:
            raise ProviderError("x", provider="a", kind=kind)

    check = ChatCheck(call, "m")
    assert [await check() for _ in range(3)] == [True] * 3
    with pytest.raises(ProviderError):
        await check()
    assert sent[0]["model"] == "m"
    assert "model" not in ChatCheck(call, None)._request


async def test_health_check_of_an_address() -> None:
    """The status decides; no key is sent."""
    http = Http()
    async with FakeProvider() as fake:
        assert await UrlCheck(http, f"{fake.url}/v1/models")() in {True, False}
    with pytest.raises(aiohttp.ClientError):
        await UrlCheck(http, fake.url)()
    await http.aclose()


CONFIG = """
providers:
  one:
    {{kind: openai, model: a, base_url: "{one}/v1", api_key: sk-12345678, region: eu,
      capabilities: [json_schema],
      transform: {{system: hello, rename: {{top_k: k}}}}, health_check: chat}}
  two:
    {{kind: openai, model: b, base_url: "{two}/v1", api_key: sk-12345678,
      capabilities: [json_schema], health_check: {{url: "{two}/health"}}}}
routes:
  strict: {{tiers: [one, two], accept: {{response_format: true, non_empty: true}}}}
  kind: {{tiers: [one], fallback: "Please call later.", transform: {{set: {{seed: 4}}}}}}
policies:
  requires: chat
unknown_route: strict
"""


async def test_a_file_with_all_of_them(tmp_path: Path) -> None:
    """The router that a file builds checks answers, transforms requests and falls back."""
    async with FakeProvider() as one, FakeProvider() as two:
        settings = load_config(tmp_path, CONFIG.format(one=one.url, two=two.url))
        assert settings.models["*"] == "strict"
        async with settings.build(registry=CollectorRegistry()) as router:
            request: Any = {"messages": [{"role": "user", "content": "hi"}], "top_k": 3}
            await router.call(request, route="strict")
            body = one.requests[-1].body
            assert body["messages"][0] == {"role": "system", "content": "hello"}
            assert (body["k"], "top_k" in body) == (3, False)
            with pytest.raises(AllProvidersFailed, match="7 was expected"):
                await router.call({**request, **asking({"const": 7})}, route="strict")
            await router.call(request, route="kind")
            assert one.requests[-1].body["seed"] == 4
            assert "eu" in next(p for p in router.providers if p.name == "one").domains
    async with settings.build(registry=CollectorRegistry()) as router:  # the fakes are gone
        answer = await router.call(request, route="kind")
    assert answer["choices"][0]["message"]["content"] == "Please call later."
    assert json.dumps(answer)


def test_mistakes(tmp_path: Path) -> None:
    """An unknown route, an invalid schema and an invalid address are found with the others."""
    openai = "{kind: openai, model: m, api_key: sk-12345678, health_check: {url: nope}}"
    assert "providers.o.health_check.url" in config_error(tmp_path, f"providers: {{o: {openai}}}")
    text = """
providers: {echo: {}}
routes: {a: {tiers: [echo], accept: {schema: {type: 7}}}}
unknown_route: b
"""
    error = config_error(tmp_path, text)
    assert "unknown_route: unknown route 'b'" in error
    assert "routes.a.accept: invalid JSON Schema" in error


def test_reasoning_models_have_time(tmp_path: Path) -> None:
    """Without any setting a model may be silent for five minutes; a route's timeout shortens it."""
    text = "providers: {echo: {}}\nroutes: {quick: {tiers: [echo], timeout: 20}}"
    router = load_config(tmp_path, text).build(registry=CollectorRegistry())
    assert router._defaults.timeout == 600
    registry = router._engine.registry
    for streaming in (False, True):
        member = registry.route("auto-best", streaming=streaming).members[0]
        assert member.timeout == 300
        assert registry.route("quick", streaming=streaming).members[0].timeout == 10
    assert (member.idle, registry.route("auto-best", streaming=True).stream.total) == (120, 3600)
