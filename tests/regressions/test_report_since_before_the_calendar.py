"""A span that began before the year 1 (`--since 999999w`) ended the report with a ValueError."""

from __future__ import annotations

from pathlib import Path

import pytest

from multirouter import cli
from multirouter.report.command import FORMATS
from tests.listeners.test_history_disk import row, writer


@pytest.mark.parametrize("form", FORMATS)
def test_all_of_the_past(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    """However long the span, it begins in 1970 at the earliest."""
    keeper = writer(tmp_path / "h.db", [], [])
    keeper.put("attempts", row())
    keeper.close()
    assert cli.main(["report", "--since", "999999w", "--format", form, str(tmp_path / "h.db")]) == 0
    assert "1970-01-01" in capsys.readouterr().out or form == "json"
