"""Which API of an OpenAI-compatible service is called: chat completions or responses."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from multirouter import ConfigurationError, ProviderError
from multirouter.providers import OpenAI, chat, text_of
from multirouter.testing.fakes import FakeProvider

from .conftest import KEY

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio")]

WANTS_RESPONSES = "Function tools with reasoning are not supported here. Use /v1/responses instead."


class Service(FakeProvider):
    """A service whose chat completions answer with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__()
        self.paths: list[str] = []
        self._error = (status, message)

    def app(self) -> web.Application:
        app = super().app()
        app.middlewares.append(self._refusing)
        return app

    @web.middleware
    async def _refusing(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.paths.append(request.path)
        status, message = self._error
        if request.path.endswith("/chat/completions"):
            return web.json_response({"error": {"message": message}}, status=status)
        response: web.StreamResponse = await handler(request)
        return response


@asynccontextmanager
async def service(status: int = 400, message: str = WANTS_RESPONSES) -> AsyncIterator[Service]:
    async with Service(status, message) as made:
        yield made


def provider_of(made: Service, **settings: Any) -> Any:
    return OpenAI("up", base_url=f"{made.url}/v1", api_key=KEY, **settings)


@pytest.mark.parametrize("status", [400, 404])
async def test_a_model_that_demands_responses_gets_them(status: int) -> None:
    """The request is repeated once, and later ones for that model begin with that API."""
    async with service(status) as made:
        provider = provider_of(made)
        answer = await provider.call(chat("one", model="a"))
        chunks = [chunk async for chunk in provider.stream(chat("two", model="a"))]
        await provider.aclose()
    assert text_of(answer) == "You said: one"
    assert "".join(map(text_of, chunks)) == "You said: two"
    assert made.paths == ["/v1/chat/completions", "/v1/responses", "/v1/responses"]


async def test_a_stream_is_repeated_too() -> None:
    """A stream that was refused before it began is opened by the other API, for its model."""
    async with service() as made:
        provider = provider_of(made)
        for model in ("a", "b"):
            chunks = [chunk async for chunk in provider.stream(chat("one", model=model))]
            assert "".join(map(text_of, chunks)) == "You said: one"
        await provider.aclose()
    assert made.paths == ["/v1/chat/completions", "/v1/responses"] * 2


@pytest.mark.parametrize(
    ("status", "message", "api"),
    [(400, "invalid", "auto"), (500, WANTS_RESPONSES, "auto"), (400, WANTS_RESPONSES, "chat")],
)
async def test_other_errors_are_not_repeated(status: int, message: str, api: str) -> None:
    """Another error, or a fixed API: one request, and its error."""
    async with service(status, message) as made:
        provider = provider_of(made, api=api)
        with pytest.raises(ProviderError) as caught:
            await provider.call(chat("one", model="a"))
        with pytest.raises(ProviderError):
            async for _ in provider.stream(chat("one", model="a")):
                pass
        await provider.aclose()
    assert caught.value.status == status
    assert made.paths == ["/v1/chat/completions"] * 2


async def test_the_reasoning_of_the_model_comes_back() -> None:
    """Encrypted reasoning survives a turn as a thinking block; that of others is not sent."""
    async with FakeProvider() as fake:
        provider: Any = OpenAI("up", base_url=f"{fake.url}/v1", api_key=KEY, api="responses")
        answer = await provider.call(chat("one", model="a", reasoning_effort="high"))
        message = answer["choices"][0]["message"]
        foreign = {"type": "thinking", "thinking": "x", "signature": "of another"}
        message["thinking_blocks"].append(foreign)
        turns = [{"role": "user", "content": "one"}, message, {"role": "user", "content": "two"}]
        await provider.call(chat(turns, model="a"))
        await provider.aclose()
    items = fake.requests[-1].body["input"]
    assert [item["type"] for item in items] == ["message", "reasoning", "message", "message"]
    assert items[1]["encrypted_content"] == "gAAAAfake"
    assert json.dumps(items).count("of another") == 0


async def test_reasoning_of_another_account_is_left_out() -> None:
    """A conversation that came from another account goes on, without what only that can read."""
    item = {"id": "rs_1", "encrypted_content": "of another account"}
    data = base64.b64encode(json.dumps(item).encode()).decode()
    block = {"type": "thinking", "thinking": "x", "signature": f"mr2.{data}"}
    answer: Any = {"role": "assistant", "content": "hm", "thinking_blocks": [block]}
    turns = [{"role": "user", "content": "one"}, answer, {"role": "user", "content": "two"}]
    async with FakeProvider() as fake:
        provider: Any = OpenAI("up", base_url=f"{fake.url}/v1", api_key=KEY, api="responses")
        whole = await provider.call(chat(turns, model="a"))
        chunks = [chunk async for chunk in provider.stream(chat(turns, model="a"))]
        await provider.aclose()
    assert text_of(whole) == "You said: two"
    assert "".join(map(text_of, chunks)) == "You said: two"
    kinds = [[item["type"] for item in sent.body["input"]] for sent in fake.requests]
    assert kinds[0] == ["message", "reasoning", "message", "message"]
    assert kinds[1] == ["message"] * 3
    assert all("id" not in item for item in fake.requests[1].body["input"])


def test_an_unknown_api_is_invalid() -> None:
    """The API is one of three."""
    wrong: Any = "graphql"
    with pytest.raises(ConfigurationError, match="api"):
        OpenAI("up", api_key=KEY, api=wrong)
