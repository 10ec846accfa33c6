"""OpenAI with Anthropic as fallback, by the package's own adapters: calls and streams.

    OPENAI_API_KEY=... ANTHROPIC_API_KEY=... python examples/openai_anthropic.py

Requests and answers have OpenAI's format, whichever provider answers. Without both keys the
example runs offline: both providers are fake servers on this machine, and OpenAI's has an outage.
"""

from __future__ import annotations

import asyncio
import os

from prometheus_client import CollectorRegistry

from multirouter import CallOutcome, MultiProviderRouter, Route
from multirouter.providers import (
    Anthropic,
    ChatCompletion,
    ChatCompletionChunk,
    ChatProvider,
    ChatRequest,
    OpenAI,
    chat,
    text_of,
)
from multirouter.testing.fakes import FakeProvider, Fault

ChatRouter = MultiProviderRouter[ChatRequest, ChatCompletion, ChatCompletionChunk]
GPT, CLAUDE = "gpt-5-mini", "claude-haiku-4-5"
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")


def make_router(openai: ChatProvider, anthropic: ChatProvider) -> ChatRouter:
    """A router that calls OpenAI first, and Anthropic when OpenAI fails."""
    return MultiProviderRouter(
        [openai, anthropic],
        routes=[Route("default", ["openai", "anthropic"])],
        attempt_timeout=30.0,
        registry=CollectorRegistry(),
    )


async def ask(router: ChatRouter, question: str) -> CallOutcome[ChatCompletion]:
    """Makes a call and prints the answer and the provider."""
    outcome = await router.call_outcome(chat(question))
    print(f"{outcome.provider}: {text_of(outcome.value)}")
    return outcome


async def stream(router: ChatRouter, question: str) -> str:
    """Streams an answer, prints it as it arrives, and returns the provider."""
    async with router.stream(chat(question)) as answer:
        print(f"{answer.provider}: ", end="")
        async for chunk in answer:
            print(text_of(chunk), end="", flush=True)
        print()
        return answer.provider


async def offline() -> list[str | None]:
    """Calls and streams against two fake servers, before and during an outage of OpenAI."""
    async with FakeProvider() as fake_openai, FakeProvider() as fake_anthropic:
        router = make_router(
            OpenAI("openai", model=GPT, api_key="any", base_url=f"{fake_openai.url}/v1"),
            Anthropic("anthropic", model=CLAUDE, api_key="any", base_url=fake_anthropic.url),
        )
        async with router:
            before = await ask(router, "Which provider is this?")
            fake_openai.fault = Fault.checked("fail-503")
            print("OpenAI has an outage")
            during = await ask(router, "And now?")
            streamed = await stream(router, "And as a stream?")
            print(router.explain())
    return [before.provider, during.provider, streamed]


async def online() -> None:
    """One call and one stream, by the keys in the environment."""
    async with make_router(
        OpenAI("openai", model=GPT), Anthropic("anthropic", model=CLAUDE)
    ) as router:
        await ask(router, "What is a circuit breaker, in one sentence?")
        await stream(router, "And a bulkhead?")


if __name__ == "__main__":
    asyncio.run(online() if all(os.environ.get(key) for key in KEYS) else offline())
