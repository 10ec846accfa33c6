"""The history benchmark in its quick form."""

from __future__ import annotations

import json

from benchmarks import history


def test_json_has_the_costs(capsys):
    """The quick run has the cost of a call without history, and what history adds."""
    assert history.main(["--quick", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["us_without"] > 0
    assert printed["us_writer"] > 0
    assert "us_added" in printed


def test_text_names_both_threads(capsys):
    """The table has the caller's part and the writer's."""
    assert history.main(["--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    assert "on the caller's path" in printed
    assert "in its own thread" in printed
