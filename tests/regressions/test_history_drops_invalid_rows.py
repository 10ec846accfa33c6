"""A row that SQLite rejects (a NaN where a number must be) does not block the rows after it.

It stayed at the head of the queue and was retried for ever.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from tests.listeners.history.helpers import attempt_row, make_writer, rows


@pytest.mark.parametrize(
    "invalid",
    [{"cost": math.nan}, {"elapsed": math.nan}, {"status": Decimal(5)}, {"kind": None}],
    ids=str,
)
def test_an_invalid_row_is_dropped_alone(tmp_path, invalid: dict[str, Any]):
    """It is dropped and counted, and its neighbours are written."""
    lost: list[int] = []
    errors: list[str] = []
    history_writer = make_writer(tmp_path / "h.db", lost, errors)
    for number, changes in enumerate(({}, invalid, {})):
        history_writer.put("attempts", attempt_row(number, **changes))
    assert history_writer.flush()
    history_writer.close()
    assert lost == [1]
    assert len(errors) == 1
    assert [found["at"] for found in rows(tmp_path / "h.db", "attempts")] == [0.0, 2.0]
