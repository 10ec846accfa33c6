"""A request that is not a dict, or has invalid options, is an error of the caller alone."""

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


def router_of(make: Callable[..., Provider[Any, Any, Any]]) -> MultiProviderRouter[Any, Any, Any]:
    """A router with one provider at an unreachable URL."""
    provider = make("p", model="m", api_key=KEY, base_url=NOWHERE)
    return MultiProviderRouter([provider], registry=CollectorRegistry())


@pytest.mark.backends("asyncio")
@pytest.mark.parametrize("format_", MAKERS)
@pytest.mark.parametrize("request_", ["Hello", ["Hello"], None], ids=["text", "list", "none"])
async def test_a_request_that_is_not_a_dict_is_the_callers_error(
    format_: str, request_: object
) -> None:
    """The message tells what to pass instead; nothing is sent, and no failure counts."""
    async with router_of(MAKERS[format_]) as router:
        with pytest.raises(ProviderError, match=r"multirouter\.providers\.chat") as caught:
            await router.call(request_)
        assert caught.value.kind is FailureKind.REQUEST
        with pytest.raises(ProviderError, match="must be a dict"):
            await router.stream(request_)


@pytest.mark.backends("asyncio")
@pytest.mark.parametrize("format_", MAKERS)
async def test_invalid_stream_options_are_the_callers_error(format_: str) -> None:
    """They are found before anything is sent."""
    request: Any = {**chat("Hello"), "stream_options": "usage"}
    async with router_of(MAKERS[format_]) as router:
        with pytest.raises(ProviderError, match="malformed") as caught:
            await router.stream(request)
    assert caught.value.kind is FailureKind.REQUEST


@pytest.mark.backends("asyncio")
async def test_an_embeddings_request_must_be_a_dict() -> None:
    """A string is not a valid embeddings request either."""
    async with router_of(OpenAIEmbeddings) as router:
        with pytest.raises(ProviderError, match="must be a dict"):
            await router.call("Hello")
