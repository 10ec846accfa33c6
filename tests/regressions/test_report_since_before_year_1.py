"""A report period that begins before the year 1 (`--since 999999w`) is not a ValueError."""

from __future__ import annotations

from pathlib import Path

import pytest

from multirouter import cli
from multirouter.report.command import FORMATS
from tests.listeners.history.helpers import attempt_row, make_writer


@pytest.mark.parametrize("output_format", FORMATS)
def test_since_is_at_earliest_1970(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output_format: str
) -> None:
    """However long the period, it begins in 1970 at the earliest."""
    history_writer = make_writer(tmp_path / "h.db", [], [])
    history_writer.put("attempts", attempt_row())
    history_writer.close()
    assert (
        cli.main(
            ["report", "--since", "999999w", "--format", output_format, str(tmp_path / "h.db")]
        )
        == 0
    )
    assert "1970-01-01" in capsys.readouterr().out or output_format == "json"
