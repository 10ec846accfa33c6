"""The figures of docs/reference/hedging.md for slow providers hold in the simulation."""

from __future__ import annotations

import json

import pytest

from benchmarks import slowness


@pytest.mark.parametrize("traffic", slowness.INTERVALS)
@pytest.mark.parametrize("length", ["spread by sigma 0.5", "by sigma 0.7", "by sigma 1"])
def test_no_healthy_provider_is_taken_for_slow(length: str, traffic: str) -> None:
    """60,000 answers open no circuit, and less than one attempt in 200 times out."""
    row = slowness.false_detections(length, traffic, 20_000)
    assert (row["opened_slow"], row["opened_cut"]) == (0, 0)
    assert 0 < row["cut"] < 0.005


def test_long_answers_of_all_providers_open_no_circuit() -> None:
    """When all answers are six times as long for ten minutes, hardly any attempt times out."""
    row = slowness.false_detections(
        "all 6 times as long for 10 min an hour", "30 answers/s", 80_000
    )
    assert row["opened_slow"] + row["opened_cut"] <= 1
    assert row["cut"] < 0.005


@pytest.mark.parametrize(("factor", "maximum"), [(6.0, 12), (15.0, 6)])
def test_a_provider_that_becomes_slower_is_detected(factor: float, maximum: int) -> None:
    """In half of the runs within this number of its answers, and in all soon."""
    row = slowness.detection(factor, "spread by sigma 0.5", 20)
    assert 3 <= row["median"] <= maximum
    assert row["p95"] < 30
    assert "not detected" not in row["by"]


def test_a_healthy_provider_is_not_detected() -> None:
    """With a factor of 1 there is nothing to detect."""
    assert slowness.detection(1.0, "spread by sigma 0.5", 3)["by"] == {"not detected": 3}


def test_json_and_text_have_both_tables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--json` prints both tables as data, text prints them as tables."""
    rows = {
        "false_detections": [slowness.false_detections("by sigma 1", "0.3 answers/s", 100)],
        "detections": [slowness.detection(1.0, "by sigma 1", 2)],
    }
    monkeypatch.setattr(slowness, "measured", lambda rounds, repeats: rows)
    assert slowness.main(["--quick", "--json"]) == 0
    assert {"false_detections", "detections"} <= json.loads(capsys.readouterr().out).keys()
    assert slowness.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    assert "opened as slow" in printed
    assert "over 400" in printed
