"""A continuation does not repeat the role in the middle of the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider, StreamPolicy
from tests.properties.stream_providers import as_data, as_objects
from tests.scenarios.scripted_streams import CHAT, CONNECTION_LOST, chat_chunk, text_of

FIRST = chat_chunk("one ", role="assistant")


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("mode", ["prefill", "match", "instruct", "resume"])
async def test_the_role_comes_once(mode: str, *, objects: bool) -> None:
    """A first chunk with a role and text passes without the role, in every mode of continuation."""

    async def breaks(_: Any) -> AsyncIterator[Any]:
        yield FIRST
        raise CONNECTION_LOST.with_traceback(None)

    async def continues(request: Any) -> AsyncIterator[Any]:
        is_original = request == CHAT
        words = {"match": "one two", "instruct": "uno"}[mode] if is_original else "two"
        for chunk in (chat_chunk(words, role="assistant", refusal=None), chat_chunk(end="stop")):
            yield as_objects(chunk) if objects else chunk

    policy = StreamPolicy(
        on_interrupt="continue", resume=(lambda _, text: text) if mode == "resume" else None
    )
    capabilities = ["prefill"] if mode == "prefill" else []
    providers = [
        Provider("a", stream=breaks),
        Provider("b", stream=continues, capabilities=capabilities),
    ]
    router = MultiProviderRouter(providers, stream=policy, registry=CollectorRegistry())
    async with router, router.stream(CHAT, route=["a", "b"]) as stream:
        chunks = [as_data(chunk) async for chunk in stream]
        assert f"continued by {mode}" in stream.attempts[-1].why
    assert text_of(chunks).split() == ["one", "two"]
    assert [c for c in chunks if "role" in c["choices"][0]["delta"]] == [FIRST]
