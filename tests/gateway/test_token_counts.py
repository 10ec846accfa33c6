"""Endpoints that count tokens, with providers that count and with those that do not."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from tests.gateway.harness import Answer, Harness
from tests.gateway.upstream import Sent, gateway_before

pytestmark = [pytest.mark.backends("asyncio")]

MESSAGES = "/v1/messages/count_tokens"
RESPONSES = "/v1/responses/input_tokens"
GEMINI = "/v1beta/models/m:countTokens"
TOOL = {"name": "look", "input_schema": {"type": "object"}}
BODIES: dict[str, dict[str, Any]] = {
    MESSAGES: {
        "model": "m",
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [TOOL],
        "novelty": 1,
    },
    RESPONSES: {"model": "m", "input": "hi", "novelty": 1},
    GEMINI: {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "novelty": 1},
}
SHAPES = {MESSAGES: "input_tokens", RESPONSES: "input_tokens", GEMINI: "totalTokens"}
COUNTS: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": ("/v1/messages/count_tokens", {"input_tokens": 77, "more": 1}),
    "gemini": (":countTokens", {"totalTokens": 77, "more": 1}),
    "openai": ("/v1/responses/input_tokens", {"input_tokens": 77, "more": 1}),
}
each_path = pytest.mark.parametrize("path", BODIES)


async def post(harness: Harness, path: str, body: Any = None) -> Answer:
    return await harness.post(path, json.dumps(body or BODIES[path]).encode())


@each_path
@pytest.mark.parametrize("kind", COUNTS)
async def test_a_provider_counts(path: str, kind: str) -> None:
    """Each service that counts does so for clients of each format; its own get its answer."""
    end, answer = COUNTS[kind]
    async with gateway_before((kind, lambda _: answer)) as (harness, (upstream,)):
        response = await post(harness, path)
    (sent,) = upstream.sent
    assert sent.path.endswith(end)
    assert response.status == 200
    assert response.headers["X-Token-Count"] == "provider"
    own = path.endswith(end)
    assert response.json[SHAPES[path]] == 77
    assert ("more" in response.json) == own
    assert ("novelty" in sent.body) == own
    assert "max_tokens" not in sent.body
    assert "stream" not in sent.body


@each_path
async def test_an_estimate_where_none_counts(path: str) -> None:
    """Without a provider that counts, the number is an estimate, and a header says so."""

    def reply(sent: Sent) -> Any:
        return 404, {"detail": "Not Found"}

    async with gateway_before(("openai", reply)) as (harness, (upstream,)):
        first, second = [await post(harness, path) for _ in range(2)]
    for answer in (first, second):
        assert answer.headers["X-Token-Count"] == "estimated"
        assert 1 <= answer.json[SHAPES[path]] < 100
    assert len(upstream.sent) == 1


async def test_an_estimate_grows_with_the_request() -> None:
    """Texts, tools and pictures count."""
    picture = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
    }
    sizes = []
    async with gateway_before(("openai", lambda _: (404, {}))) as (harness, _):
        for content, tools in (
            ("x" * 400, []),
            ("x" * 4000, []),
            ("x" * 4000, [{**TOOL, "description": "d" * 4000}]),
            ([{"type": "text", "text": "x" * 4000}, picture], []),
        ):
            body = {
                "model": "m",
                "messages": [{"role": "user", "content": content}],
                "tools": tools,
            }
            answer = await post(harness, MESSAGES, body)
            sizes.append(answer.json["input_tokens"])
    assert 100 <= sizes[0] < 110
    assert 1000 <= sizes[1] < 1010
    assert sizes[2] - sizes[1] > 1000
    assert sizes[3] - sizes[1] >= 1500


async def test_a_count_that_fails_says_nothing_about_chats() -> None:
    """Errors and limits of the endpoint neither open the circuit nor begin a cooldown."""
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    for status in (429, 500, 401):
        async with gateway_before(("anthropic", lambda _, s=status: (s, error))) as (harness, _):
            for _ in range(8):
                answer = await post(harness, MESSAGES)
                assert answer.headers["X-Token-Count"] == "estimated"
            circuits = harness.router.snapshot()
        assert "open" not in {str(one) for one in _states(circuits)}


def _states(snapshot: Any) -> list[Any]:
    return [provider["state"] for provider in snapshot["providers"].values()]


async def test_malformed_requests_are_rejected() -> None:
    """What is malformed is a 400, and costs no request."""
    async with gateway_before(("anthropic", lambda _: {"input_tokens": 1})) as (harness, (up,)):
        for path in (MESSAGES, RESPONSES, GEMINI):
            answer = await post(harness, path, {"model": "m"})
            assert answer.status == 400
    assert not up.sent


async def test_official_sdks_read_counts() -> None:
    """The clients of Anthropic and OpenAI get a number."""
    async with gateway_before(("anthropic", lambda _: {"input_tokens": 5})) as (harness, _):
        async with anthropic.AsyncAnthropic(api_key="k", base_url=harness.url) as client:
            messages: Any = BODIES[MESSAGES]["messages"]
            counted = await client.messages.count_tokens(model="m", messages=messages)
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{harness.url}/v1") as other:
            tokens = await other.responses.input_tokens.count(model="m", input="hi")
    assert (counted.input_tokens, tokens.input_tokens) == (5, 5)
