"""The benchmark of the console in its quick form."""

from __future__ import annotations

import json

import pytest

from benchmarks import console


@pytest.mark.timeout(180)
def test_pages_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Each number of pages has its share of a core, and pages receive data."""
    assert console.main(["--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["pages"]
    assert list(found) == ["0", "1", "10"]
    assert found["0"]["kilobytes_a_second_each"] == 0
    assert found["10"]["kilobytes_a_second_each"] > 0
    assert all(cost["percent_of_a_core"] >= 0 for cost in found.values())
    assert all(0 < cost["p50_ms"] <= cost["p99_ms"] for cost in found.values())
