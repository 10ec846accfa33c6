"""Upstreams that answer 200 with something else than they promise, behind every door."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from multirouter import Route
from multirouter.gateway.formats.openai.normalize import Tidy, whole
from multirouter.providers import OpenAI
from tests.gateway.kit import PROMPT, SAID, SECRET, Answer, Place, standing

pytestmark = [pytest.mark.backends("asyncio")]

MESSAGES = [{"role": "user", "content": PROMPT}]
DOORS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "openai": ("/v1/chat/completions", "/v1/chat/completions", {"model": "m"}),
    "anthropic": ("/v1/messages", "/v1/messages", {"model": "m", "max_tokens": 9}),
    "gemini": (
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        {"contents": [{"parts": [{"text": PROMPT}]}]},
    ),
}
UNREADABLE: list[dict[str, Any]] = [
    {"said": "x"},
    {"said": []},
    {"said": {"content": 5}},
    {"said": {"tool_calls": "x"}},
    {"said": {"tool_calls": [1]}},
    {"said": {"tool_calls": [{"id": 7}]}},
    {"said": {"tool_calls": [{"id": "a", "function": 3}]}},
    {"said": {"tool_calls": [{"id": "a", "function": {"name": ["f"]}}]}},
    {"said": {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": 3}}]}},
    {"finish_reason": 5},
    {"finish_reason": ["stop"]},
    {"index": [1]},
]


def choice(name: str, **lie: Any) -> dict[str, Any]:
    """A choice with one thing wrong."""
    said = lie.pop("said", {"role": "assistant", "content": "hi"})
    return {"index": 0, name: said, "finish_reason": "stop", **lie}


@asynccontextmanager
async def lying(place: Place, data: bytes, kind: str) -> AsyncIterator[None]:
    """Puts an upstream first that answers everything with this."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=data, headers={"Content-Type": kind})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        liar = OpenAI("first", base_url=f"http://{host}:{port}/v1", api_key=SECRET)
        before: dict[str, Any] = {provider.name: provider for provider in place.router.providers}
        made = [liar, *(p for name, p in before.items() if name != "first")]
        place.router.reconfigure(made, [Route("main", [provider.name for provider in made])])
        await before["first"].aclose()
        yield
    finally:
        await runner.cleanup()


async def asked(place: Place, door: str, *, stream: bool) -> Answer:
    plain, streamed, body = DOORS[door]
    body = {"messages": MESSAGES, **body} if door != "gemini" else body
    if stream and door != "gemini":
        body = {**body, "stream": True}
    return await place.post(streamed if stream else plain, json.dumps(body).encode())


def events(*chunks: Any) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("lie", UNREADABLE, ids=str)
async def test_an_answer_nobody_can_read_leads_on(lie: dict[str, Any], door: str) -> None:
    """Wrong types in a whole answer or a chunk are a failure of its provider: the next answers."""
    async with standing([], []) as place:
        made = {"id": "x", "model": "m", "choices": [choice("message", **lie)]}
        async with lying(place, json.dumps(made).encode(), "application/json"):
            told = await asked(place, door, stream=False)
        chunk = {"id": "x", "model": "m", "choices": [choice("delta", **lie)]}
        async with lying(place, events(chunk), "text/event-stream"):
            streamed = await asked(place, door, stream=True)
    for answer in (told, streamed):
        assert (answer.status, answer.broken) == (200, False)
        assert answer.headers["X-Provider"] == "second"
    assert SAID in told.data.decode()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "lie",
    [
        {"model": 5},
        {"model": ["m"]},
        {"model": "m\r\nSet-Cookie: a=b"},
        {"id": 5},
        {"id": ["x"]},
        {"usage": "x"},
        {"usage": [1]},
        {"usage": {"prompt_tokens": "many", "completion_tokens": -1}},
        {"usage": {"prompt_tokens": 1, "prompt_tokens_details": [1], "completion_tokens": 1e999}},
        {"usage": {"prompt_tokens": 1, "completion_tokens_details": "x"}},
    ],
    ids=str,
)
async def test_what_is_beside_the_answer_breaks_nothing(lie: dict[str, Any], door: str) -> None:
    """A name, an id or a count that is none is left out; the answer is told all the same."""
    async with standing() as place:
        whole_ = {"id": "x", "model": "m", "choices": [choice("message")], **lie}
        async with lying(place, json.dumps(whole_).encode(), "application/json"):
            told = await asked(place, door, stream=False)
        chunk = {"id": "x", "model": "m", "choices": [choice("delta")], **lie}
        async with lying(place, events(chunk), "text/event-stream"):
            streamed = await asked(place, door, stream=True)
    for answer in (told, streamed):
        assert (answer.status, answer.broken) == (200, False)
        assert b"hi" in answer.data
        assert "Set-Cookie" not in answer.headers
    assert "internal_error" not in repr(place.log.told)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("logprobs", ["x", {"content": [1]}, {"content": None}])
async def test_log_probabilities_that_are_none(logprobs: Any, door: str) -> None:
    """Log probabilities of an unknown form break no answer."""
    made = {"id": "x", "model": "m", "choices": [choice("message", logprobs=logprobs)]}
    async with standing() as place:
        async with lying(place, json.dumps(made).encode(), "application/json"):
            assert (await asked(place, door, stream=False)).status == 200
        made["choices"] = [choice("delta", logprobs=logprobs)]
        async with lying(place, events(made), "text/event-stream"):
            assert (await asked(place, door, stream=True)).status == 200


@pytest.mark.parametrize("door", DOORS)
async def test_calls_that_are_no_functions(door: str) -> None:
    """A call of another type than a function has no place in the other formats."""
    call = {"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}
    made = {"id": "x", "model": "m", "choices": [choice("message", said={"tool_calls": [call]})]}
    async with standing() as place, lying(place, json.dumps(made).encode(), "application/json"):
        told = await asked(place, door, stream=False)
    assert told.status == 200
    assert (b"custom" in told.data) == (door == "openai")


def test_arguments_as_an_object() -> None:
    """Arguments that came as an object are the text they should have been, whole and streamed."""
    call = {"id": "a", "function": {"name": "f", "arguments": {"city": "Zürich"}}}
    answer = {"choices": [choice("message", said={"tool_calls": [call]})]}
    function = whole(answer, "req_1")["choices"][0]["message"]["tool_calls"][0]["function"]
    assert json.loads(function["arguments"]) == {"city": "Zürich"}
    tidy = Tidy("req_1", usage_asked=False)
    piece = {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"n": 1}}}
    (chunk,) = tidy.feed({"choices": [choice("delta", said={"tool_calls": [piece]})]})
    (told,) = chunk["choices"][0]["delta"]["tool_calls"]
    assert json.loads(told["function"]["arguments"]) == {"n": 1}


def test_choices_without_a_place() -> None:
    """A choice whose index is null is where it stands."""
    answer = {"choices": [choice("message", index=None), choice("message", index=None)]}
    assert [told["index"] for told in whole(answer, "req_1")["choices"]] == [0, 1]
    tidy = Tidy("req_1", usage_asked=False)
    (chunk,) = tidy.feed({"choices": [choice("delta", index=None)]})
    assert chunk["choices"][0]["index"] == 0


THINKING = {
    "content": [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}, 1]},
        {"type": "text", "text": "h"},
        {"type": "reference", "reference_ids": [1]},
        {"type": "text", "text": "i"},
    ]
}


@pytest.mark.parametrize("door", DOORS)
async def test_content_in_parts_is_text(door: str) -> None:
    """A list of parts, as Mistral's thinking models send, reaches each door as text."""
    async with standing() as place:
        made = {"id": "x", "model": "m", "choices": [choice("message", said=dict(THINKING))]}
        async with lying(place, json.dumps(made).encode(), "application/json"):
            told = await asked(place, door, stream=False)
        pieces = [{"index": 0, "delta": dict(THINKING)}, choice("delta", said={"content": "!"})]
        chunks = [{"id": "x", "model": "m", "choices": [piece]} for piece in pieces]
        async with lying(place, events(*chunks), "text/event-stream"):
            streamed = await asked(place, door, stream=True)
    for answer in (told, streamed):
        assert (answer.status, answer.broken) == (200, False)
        assert b'"hi"' in answer.data
        assert b"reference" not in answer.data
        assert (b'"hmm"' in answer.data) == (door != "gemini")  # which was not asked for thoughts
