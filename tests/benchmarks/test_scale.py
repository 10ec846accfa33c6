"""The benchmark of scale in its quick form: each part has its figures."""

from __future__ import annotations

import json

import pytest

from benchmarks import scale


def test_each_part_has_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """Costs are above 0, and no chunk is delivered before it is due."""
    assert scale.main(["--quick", "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert set(parts) == set(scale.PARTS)
    assert parts["calls"]["many_to_few"] > 0
    assert parts["start"]["seconds_to_start"] > parts["start"]["seconds_of_the_first_call"] > 0
    assert parts["reload"]["ms_delay_max"] >= parts["reload"]["ms_delay_p99"] > 0
    assert parts["reload"]["ms_a_reload_holds_the_loop"] > 0
    assert parts["streams"]["streams"] == scale.streams.STREAMS // scale.QUICK
    assert parts["streams"]["ms_chunk_p99"] >= parts["streams"]["ms_chunk_p50"] >= 0


def test_one_part_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """`--part` runs one part, and the table names its figures in words."""
    assert scale.main(["--quick", "--part", "start"]) == 0
    printed = capsys.readouterr().out
    assert "start: seconds to start" in printed
    assert "reload" not in printed.split("\n\n", 2)[2]
