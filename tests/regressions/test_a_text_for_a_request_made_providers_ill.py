"""A request that was no dict, or had options that were none, counted against every provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider, ProviderError
from multirouter.model import FailureKind
from multirouter.providers import Anthropic, Gemini, OpenAI, OpenAIEmbeddings, chat

KEY = "sk-sham-1234567890"
NOWHERE = "http://127.0.0.1:9"
MAKERS: dict[str, Callable[..., Provider[Any, Any, Any]]] = {
    "openai": OpenAI,
    "anthropic": Anthropic,
    "gemini": Gemini,
}


def lone(make: Callable[..., Provider[Any, Any, Any]]) -> MultiProviderRouter[Any, Any, Any]:
    """A router with one provider, which nothing may reach."""
    provider = make("p", model="m", api_key=KEY, base_url=NOWHERE)
    return MultiProviderRouter([provider], registry=CollectorRegistry())


@pytest.mark.backends("asyncio")
@pytest.mark.parametrize("format_", MAKERS)
@pytest.mark.parametrize("request_", ["Hello", ["Hello"], None], ids=["text", "list", "none"])
async def test_what_is_no_dict_is_the_callers_mistake(format_: str, request_: object) -> None:
    """The error says what to write instead; nothing is sent, and nobody is ill."""
    async with lone(MAKERS[format_]) as router:
        with pytest.raises(ProviderError, match=r"multirouter\.providers\.chat") as caught:
            await router.call(request_)
        assert caught.value.kind is FailureKind.REQUEST
        with pytest.raises(ProviderError, match="must be a dict"):
            await router.stream(request_)


@pytest.mark.backends("asyncio")
@pytest.mark.parametrize("format_", MAKERS)
async def test_stream_options_that_are_none(format_: str) -> None:
    """They are found before anything is sent."""
    request: Any = {**chat("Hello"), "stream_options": "usage"}
    async with lone(MAKERS[format_]) as router:
        with pytest.raises(ProviderError, match="malformed") as caught:
            await router.stream(request)
    assert caught.value.kind is FailureKind.REQUEST


@pytest.mark.backends("asyncio")
async def test_embeddings_too() -> None:
    """A text is no request for embeddings either."""
    async with lone(OpenAIEmbeddings) as router:
        with pytest.raises(ProviderError, match="must be a dict"):
            await router.call("Hello")
