"""The history benchmark in its quick form: it runs, and its output has what it promises."""

from __future__ import annotations

import json

from benchmarks import history


def test_it_tells_what_history_costs(capsys):
    """The quick run gives the cost of a call without history, and what history adds."""
    assert history.main(["--quick", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["us_without"] > 0
    assert told["us_writer"] > 0
    assert "us_added" in told


def test_it_is_told_in_words(capsys):
    """The table names both threads."""
    assert history.main(["--rounds", "1"]) == 0
    told = capsys.readouterr().out
    assert "on the caller's path" in told
    assert "in its own thread" in told
