"""Where a stream was paid for, a failure told after the proof of its end broke it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from multirouter import Price, Provider
from tests.scenarios.kit import house


def chunk(text: str, end: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": end}]}


async def ends_twice(_: object) -> AsyncIterator[dict[str, Any]]:
    yield chunk("all")
    yield chunk("", "stop")
    yield chunk("", "error")


@pytest.mark.parametrize("price", [None, Price(1.0, 1.0)])
async def test_what_comes_after_the_proof_harms_nobody(price: Price | None) -> None:
    """The stream ends well, whether its usage is counted or not."""
    provider = Provider[object, object, Any]("a", stream=ends_twice, price=price)
    async with house(provider) as home:
        stream = home.router.stream({"messages": []})
        assert len([said async for said in stream]) == 3
    assert stream.outcome is not None
    assert stream.outcome.result == "success"
