"""When deleting old rows fails after a batch was written, the batch is not written again.

Calls appeared twice in the report, and cost twice in the budget of the next start.
"""

from __future__ import annotations

import sqlite3

import pytest

from multirouter.listeners.history import file as history_file
from tests.listeners.history.helpers import attempt_row, make_writer, rows


def test_a_failed_sweep_does_not_repeat_the_batch(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Committed rows are no longer queued; old rows are deleted when the disk allows it."""
    file = tmp_path / "h.db"
    errors: list[str] = []
    history_writer = make_writer(file, [], errors, retention=1_000.0)
    history_writer.put("attempts", attempt_row(0.0, cost=1.0))
    history_writer.put("attempts", attempt_row(900.0, cost=1.0))
    real = history_file.delete_old

    def busy(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(history_file, "delete_old", busy)
    assert history_writer.flush(), "the rows are on the disk"
    assert history_writer.flush()
    monkeypatch.setattr(history_file, "delete_old", real)
    assert len(rows(file, "attempts")) == 2
    assert sum(spent["cost"] for spent in rows(file, "spending")) == 2.0
    assert errors == [f"history in {file} (database is locked)"]
    history_writer.put("attempts", attempt_row(1_500.0))
    assert history_writer.flush()
    history_writer.close()
    assert [found["at"] for found in rows(file, "attempts")] == [900.0, 1_500.0]
