"""What docs/hedging.md claims of slowness holds in the simulation it names."""

from __future__ import annotations

import json

import pytest

from benchmarks import slowness


@pytest.mark.parametrize("traffic", slowness.EVERY)
@pytest.mark.parametrize("length", ["spread by sigma 0.5", "by sigma 0.7", "by sigma 1"])
def test_no_healthy_provider_is_taken_for_slow(length: str, traffic: str) -> None:
    """60,000 answers open no circuit, and of their attempts less than one in 200 is cut off."""
    row = slowness.mistakes(length, traffic, 20_000)
    assert (row["opened_slow"], row["opened_cut"]) == (0, 0)
    assert 0 < row["cut"] < 0.005


def test_long_answers_everywhere_are_nobodys_illness() -> None:
    """When all answers are six times as long for ten minutes, hardly anything is cut, or opens."""
    row = slowness.mistakes("all 6 times as long for 10 min an hour", "30 answers/s", 80_000)
    assert row["opened_slow"] + row["opened_cut"] <= 1
    assert row["cut"] < 0.005


@pytest.mark.parametrize(("factor", "most"), [(6.0, 12), (15.0, 6)])
def test_a_provider_that_grew_slower_is_found_out(factor: float, most: int) -> None:
    """Half of the time within so many of its own answers, and always before many."""
    row = slowness.found(factor, "spread by sigma 0.5", 20)
    assert 3 <= row["median"] <= most
    assert row["p95"] < 30
    assert "not found" not in row["by"]


def test_who_is_healthy_is_not_found_out() -> None:
    """With a factor of 1 there is nothing to find: the search can come up empty."""
    assert slowness.found(1.0, "spread by sigma 0.5", 3)["by"] == {"not found": 3}


def test_its_result_is_for_machines_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--json` prints both tables as data, text prints them for people."""
    rows = {
        "mistakes": [slowness.mistakes("by sigma 1", "0.3 answers/s", 100)],
        "found": [slowness.found(1.0, "by sigma 1", 2)],
    }
    monkeypatch.setattr(slowness, "measured", lambda rounds, repeats: rows)
    assert slowness.main(["--quick", "--json"]) == 0
    assert {"mistakes", "found"} <= json.loads(capsys.readouterr().out).keys()
    assert slowness.main(["--quick"]) == 0
    told = capsys.readouterr().out
    assert "opened as slow" in told
    assert "over 400" in told
