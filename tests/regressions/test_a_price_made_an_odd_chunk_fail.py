"""With a price, a chunk of another type than the first broke a stream that ended well without."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import Price
from tests.scenarios.kit import house
from tests.scenarios.tapes import read, tape


@pytest.mark.parametrize("price", [None, Price(1.0, 2.0)])
async def test_a_chunk_of_another_type_costs_no_answer(price: Price | None) -> None:
    """It is handed on as it is, and only its letters are not counted."""
    chunks: list[Any] = ["one", None, b"two", "three"]
    async with house(tape("a", chunks, price=price)) as home:
        assert await read(home) == chunks
        assert home.news.attempts[-1].ok
