"""Streams of the official SDKs behind a router: completeness, continuation and cost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types as google
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Price, Provider, StreamInterrupted, StreamPolicy
from multirouter.providers import chat
from multirouter.testing.fakes import FakeProvider

from .conftest import KEY

pytestmark = [
    pytest.mark.real_io,
    pytest.mark.backends("asyncio"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

PROMPT = "once upon a time there was a router"
ANSWER = f"You said: {PROMPT}"
CHATS = ["openai", "anthropic", "gemini"]


class Clients:
    """One streaming function for each SDK; each takes a canonical request."""

    def __init__(self, url: str, models: dict[str, str]) -> None:
        self.openai_ = openai.AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0)
        self.anthropic_ = anthropic.AsyncAnthropic(api_key=KEY, base_url=url, max_retries=0)
        self.google = genai.Client(api_key=KEY, http_options=google.HttpOptions(base_url=url))
        self._models = models

    async def openai(self, request: Any) -> AsyncIterator[Any]:
        params = {**request, "model": self._models["openai"], "stream": True}
        async with await self.openai_.chat.completions.create(**params) as stream:
            async for chunk in stream:
                yield chunk

    async def anthropic(self, request: Any) -> AsyncIterator[Any]:
        params = {**request, "model": self._models["anthropic"], "max_tokens": 99, "stream": True}
        async with await self.anthropic_.messages.create(**params) as stream:
            async for event in stream:
                yield event

    async def gemini(self, request: Any) -> AsyncIterator[Any]:
        prompt = request["messages"][0]["content"]
        async for chunk in await self.google.aio.models.generate_content_stream(
            model=self._models["gemini"], contents=prompt
        ):
            yield chunk

    async def aclose(self) -> None:
        await self.openai_.close()
        await self.anthropic_.close()
        await self.google.aio.aclose()


async def streamed(
    first: str, fault: str, second: str | None = None, on_interrupt: Any = "raise"
) -> tuple[list[Any], Any]:
    """Returns the chunks and the outcome of a stream by `first` with a fault, then `second`."""
    models = dict.fromkeys(CHATS, "m") | {first: f"m+{fault}" if fault else "m"}
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(FakeProvider())
        clients = Clients(fake.url, models)
        stack.push_async_callback(clients.aclose)
        names = [first, second] if second else [first]
        router = MultiProviderRouter(
            [Provider(n, stream=getattr(clients, n), price=Price(1, 2)) for n in names],
            stream=StreamPolicy(on_interrupt=on_interrupt),
            registry=CollectorRegistry(),
        )
        await stack.enter_async_context(router)
        stream = await stack.enter_async_context(router.stream(chat(PROMPT), route=names))
        return [chunk async for chunk in stream], stream.outcome


def text_in(chunk: Any) -> str:
    """Returns the text of an SDK's chunk."""
    if hasattr(chunk, "choices"):
        return "".join(choice.delta.content or "" for choice in chunk.choices)
    if hasattr(chunk, "candidates"):
        return chunk.text or ""
    return getattr(getattr(chunk, "delta", None), "text", None) or ""


@pytest.mark.parametrize("name", CHATS)
async def test_complete_stream(name: str) -> None:
    """It passes unchanged, counts as complete, and its own usage is billed."""
    chunks, outcome = await streamed(name, "")
    assert "".join(map(text_in, chunks)) == ANSWER
    assert outcome.ok
    (attempt,) = outcome.attempts
    assert attempt.usage is not None
    assert attempt.usage.output > 0


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize("fault", ["eof-after-2", "cut-after-2"])
async def test_truncated_stream_is_interrupted(name: str, fault: str) -> None:
    """The SDKs end a truncated stream without an error; the router raises."""
    with pytest.raises(StreamInterrupted) as caught:
        await streamed(name, fault)
    assert caught.value.provider == name


@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_failure_after_role_fails_over(name: str) -> None:
    """A failure after the first event, but before any content, fails over."""
    chunks, outcome = await streamed(name, "role-only", "gemini")
    assert "".join(map(text_in, chunks)) == ANSWER
    assert [attempt.provider for attempt in outcome.attempts] == [name, "gemini"]


@pytest.mark.parametrize(("first", "second"), list(pairwise([*CHATS, "openai"])))
async def test_continuation_across_sdks(first: str, second: str) -> None:
    """A broken stream is continued in another format, cut to the character."""
    chunks, outcome = await streamed(first, "eof-after-2", second, "continue")
    assert "".join(map(text_in, chunks)) == ANSWER
    assert "continued by match" in outcome.attempts[-1].why
