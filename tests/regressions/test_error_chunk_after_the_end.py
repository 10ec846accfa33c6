"""With a price, an error chunk after the proven end of an answer does not break the stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from multirouter import Price, Provider
from tests.scenarios.harness import harness


def chunk(text: str, end: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": end}]}


async def ends_twice(_: object) -> AsyncIterator[dict[str, Any]]:
    yield chunk("all")
    yield chunk("", "stop")
    yield chunk("", "error")


@pytest.mark.parametrize("price", [None, Price(1.0, 1.0)])
async def test_an_error_after_the_proven_end_is_ignored(price: Price | None) -> None:
    """The stream succeeds, whether its usage is counted or not."""
    provider = Provider[object, object, Any]("a", stream=ends_twice, price=price)
    async with harness(provider) as env:
        stream = env.router.stream({"messages": []})
        assert len([c async for c in stream]) == 3
    assert stream.outcome is not None
    assert stream.outcome.result == "success"
