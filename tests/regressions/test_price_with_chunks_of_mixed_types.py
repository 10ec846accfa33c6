"""With a price, a chunk of another type than the first does not break the stream."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import Price
from tests.scenarios.harness import harness
from tests.scenarios.scripted_streams import read, scripted_stream


@pytest.mark.parametrize("price", [None, Price(1.0, 2.0)])
async def test_a_chunk_of_another_type_is_passed_on(price: Price | None) -> None:
    """It is passed on as it is, and only its text is not counted."""
    chunks: list[Any] = ["one", None, b"two", "three"]
    async with harness(scripted_stream("a", chunks, price=price)) as env:
        assert await read(env) == chunks
        assert env.recorder.attempts[-1].ok
