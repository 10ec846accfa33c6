"""`min_rate` does not apply to chunks of unknown size; it used to end every such stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider, StreamInterrupted, StreamPolicy


class Frame:
    """A chunk of a custom type."""


async def frames(_: str) -> AsyncIterator[Frame]:
    for _number in range(5):
        yield Frame()
        await anyio.sleep(20.0)


async def breaks(_: str) -> AsyncIterator[str]:
    yield "word"
    raise ConnectionResetError


def router(policy: StreamPolicy) -> MultiProviderRouter[str, object, object]:
    providers = [Provider("words", stream=breaks), Provider("frames", stream=frames)]
    return MultiProviderRouter(providers, stream=policy, registry=CollectorRegistry())


@pytest.mark.parametrize("on_interrupt", ["raise", "restart"])
async def test_min_rate_does_not_apply_to_opaque_chunks(on_interrupt: str) -> None:
    """Neither from the beginning, nor where such a stream continues another one."""
    policy = StreamPolicy(min_rate=5.0, rate_window=2.0, on_interrupt=on_interrupt)  # type: ignore[arg-type] # a parameter
    route = ["frames"] if on_interrupt == "raise" else ["words", "frames"]
    async with router(policy) as r, r.stream("q", route=route) as stream:
        chunks = [chunk async for chunk in stream]
    assert sum(isinstance(chunk, Frame) for chunk in chunks) == 5


async def test_a_text_hook_makes_min_rate_apply() -> None:
    """With `text=` the size of such chunks is known."""
    policy = StreamPolicy(min_rate=5.0, rate_window=2.0, text=lambda _: "x")
    async with router(policy) as r:
        with pytest.raises(StreamInterrupted, match="min_rate"):
            _ = [chunk async for chunk in r.stream("q", route=["frames"])]
