"""When a batch was written and deleting what is old failed, the batch was written once more.

Calls stood twice in the report, and money twice in the budget of the next start.
"""

from __future__ import annotations

import sqlite3

import pytest

from multirouter.listeners.history import file as history_file
from tests.listeners.history_kit import rows
from tests.listeners.test_history_disk import row, writer


def test_a_sweep_that_fails_costs_no_second_writing(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """What was committed is not queued any more, and the old goes when the disk lets it."""
    file = tmp_path / "h.db"
    told: list[str] = []
    keeper = writer(file, [], told, keep=1_000.0)
    keeper.put("attempts", row(0.0, cost=1.0))
    keeper.put("attempts", row(900.0, cost=1.0))
    real = history_file.sweep

    def busy(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(history_file, "sweep", busy)
    assert keeper.flush(), "the rows are on the disk"
    assert keeper.flush()
    monkeypatch.setattr(history_file, "sweep", real)
    assert len(rows(file, "attempts")) == 2
    assert sum(spent["cost"] for spent in rows(file, "spending")) == 2.0
    assert told == [f"history in {file} (database is locked)"]
    keeper.put("attempts", row(1_500.0))
    assert keeper.flush()
    keeper.close()
    assert [found["at"] for found in rows(file, "attempts")] == [900.0, 1_500.0]
