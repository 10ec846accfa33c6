"""A row that SQLite itself refused (a NaN where a number must be) was tried again for ever.

It stayed at the head of the queue, and nothing that came after it was ever written.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from tests.listeners.history_kit import rows
from tests.listeners.test_history_disk import row, writer


@pytest.mark.parametrize(
    "poison",
    [{"cost": math.nan}, {"elapsed": math.nan}, {"status": Decimal(5)}, {"kind": None}],
    ids=str,
)
def test_it_costs_itself_alone(tmp_path, poison: dict[str, Any]):
    """It is dropped and counted, and its neighbours are written."""
    lost: list[int] = []
    told: list[str] = []
    keeper = writer(tmp_path / "h.db", lost, told)
    for number, changes in enumerate(({}, poison, {})):
        keeper.put("attempts", row(number, **changes))
    assert keeper.flush()
    keeper.close()
    assert lost == [1]
    assert len(told) == 1
    assert [found["at"] for found in rows(tmp_path / "h.db", "attempts")] == [0.0, 2.0]
