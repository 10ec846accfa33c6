"""A history file that is moved, deleted or replaced under a running router is reopened."""

from __future__ import annotations

from tests.listeners.history.helpers import attempt_row, make_writer, rows


def test_a_deleted_file_is_created_again(tmp_path):
    """The next batch is written to the configured path."""
    file = tmp_path / "h.db"
    history_writer = make_writer(file, lost := [], errors := [])
    history_writer.put("attempts", attempt_row(1))
    assert history_writer.flush()
    for path in tmp_path.iterdir():
        path.unlink()
    history_writer.put("attempts", attempt_row(2))
    assert history_writer.flush()
    history_writer.close()
    assert [found["at"] for found in rows(file, "attempts")] == [2.0]
    assert (lost, errors) == ([], [])


def test_a_moved_file_keeps_its_rows(tmp_path):
    """Earlier rows are in the moved file, later rows in a new one."""
    file, archive = tmp_path / "h.db", tmp_path / "old.db"
    history_writer = make_writer(file, lost := [], errors := [])
    for at in range(3):
        history_writer.put("attempts", attempt_row(at))
        assert history_writer.flush()
    file.rename(archive)
    history_writer.put("attempts", attempt_row(3))
    assert history_writer.flush()
    history_writer.close()
    assert [found["at"] for found in rows(archive, "attempts")] == [0.0, 1.0, 2.0]
    assert [found["at"] for found in rows(file, "attempts")] == [3.0]
    assert (lost, errors) == ([], [])


def test_a_replaced_file_is_continued(tmp_path):
    """Rows are appended to the file that took its place."""
    file, other = tmp_path / "h.db", tmp_path / "other.db"
    for target, at in ((file, 1), (other, 2)):
        history_writer = make_writer(target, [], [])
        history_writer.put("attempts", attempt_row(at))
        assert history_writer.flush()
        if target == other:
            history_writer.close()
        else:
            first = history_writer
    other.replace(file)
    first.put("attempts", attempt_row(3))
    assert first.flush()
    first.close()
    assert [found["at"] for found in rows(file, "attempts")] == [2.0, 3.0]
