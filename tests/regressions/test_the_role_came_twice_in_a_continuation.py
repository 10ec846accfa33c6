"""Who went on with another provider's answer said his role again, in the middle of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider, StreamPolicy
from tests.scenarios.tapes import CHAT, GONE, said, text_of

FIRST = said("one ", role="assistant")


@pytest.mark.parametrize("how", ["prefill", "match", "instruct", "resume"])
async def test_the_role_comes_once(how: str) -> None:
    """A first chunk with a role and words passes without the role, however it goes on."""

    async def breaks(_: Any) -> AsyncIterator[Any]:
        yield FIRST
        raise GONE.with_traceback(None)

    async def goes_on(request: Any) -> AsyncIterator[Any]:
        asked_again = request == CHAT
        words = {"match": "one two", "instruct": "uno"}[how] if asked_again else "two"
        yield said(words, role="assistant", refusal=None)
        yield said(end="stop")

    policy = StreamPolicy(
        on_interrupt="continue", resume=(lambda _, text: text) if how == "resume" else None
    )
    able = ["prefill"] if how == "prefill" else []
    providers = [Provider("a", stream=breaks), Provider("b", stream=goes_on, capabilities=able)]
    router = MultiProviderRouter(providers, stream=policy, registry=CollectorRegistry())
    async with router, router.stream(CHAT, route=["a", "b"]) as stream:
        chunks = [chunk async for chunk in stream]
        assert f"goes on by {how}" in stream.attempts[-1].why
    assert text_of(chunks).split() == ["one", "two"]
    assert [c for c in chunks if "role" in c["choices"][0]["delta"]] == [FIRST]
