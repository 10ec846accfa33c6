"""Moved or deleted under a running router, the file took all that came, where nobody saw it."""

from __future__ import annotations

from tests.listeners.history_kit import rows
from tests.listeners.test_history_disk import row, writer


def test_a_file_that_was_deleted_is_made_again(tmp_path):
    """From the next batch on, history is where it was asked for."""
    file = tmp_path / "h.db"
    keeper = writer(file, lost := [], told := [])
    keeper.put("attempts", row(1))
    assert keeper.flush()
    for left in tmp_path.iterdir():
        left.unlink()
    keeper.put("attempts", row(2))
    assert keeper.flush()
    keeper.close()
    assert [found["at"] for found in rows(file, "attempts")] == [2.0]
    assert (lost, told) == ([], [])


def test_a_file_that_was_moved_keeps_what_it_has(tmp_path):
    """Archived while in use: all of the past is in the old file, all that follows in the new."""
    file, archive = tmp_path / "h.db", tmp_path / "old.db"
    keeper = writer(file, lost := [], told := [])
    for at in range(3):
        keeper.put("attempts", row(at))
        assert keeper.flush()
    file.rename(archive)
    keeper.put("attempts", row(3))
    assert keeper.flush()
    keeper.close()
    assert [found["at"] for found in rows(archive, "attempts")] == [0.0, 1.0, 2.0]
    assert [found["at"] for found in rows(file, "attempts")] == [3.0]
    assert (lost, told) == ([], [])


def test_a_file_in_the_place_of_another(tmp_path):
    """A history restored from elsewhere is gone on with."""
    file, other = tmp_path / "h.db", tmp_path / "other.db"
    for path, at in ((file, 1), (other, 2)):
        keeper = writer(path, [], [])
        keeper.put("attempts", row(at))
        assert keeper.flush()
        if path == other:
            keeper.close()
        else:
            first = keeper
    other.replace(file)
    first.put("attempts", row(3))
    assert first.flush()
    first.close()
    assert [found["at"] for found in rows(file, "attempts")] == [2.0, 3.0]
