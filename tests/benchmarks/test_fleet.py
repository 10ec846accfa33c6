"""The fleet's benchmark in small: a simulation, and real processes with a real Redis."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from benchmarks import fleet
from benchmarks.fleet.simulation import simulate


def test_a_shared_outage_wastes_fewer_calls() -> None:
    """Four processes that share their state waste a part of the calls, and make fewer trials."""
    alone, shared = (simulate(4, shared=shared, seconds=900.0) for shared in (False, True))

    def total(run: dict[str, Any], name: str) -> int:
        return sum(outage[name] for outage in run["outages"])

    assert total(shared, "wasted") < total(alone, "wasted") / 2
    assert total(shared, "trials") < total(alone, "trials") / 2
    assert "yes" in fleet.simulation_table({"simulation": [alone, shared]})


def test_real_processes(capsys: pytest.CaptureFixture[str]) -> None:
    """The short run measures every figure."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    assert fleet.main(["--quick", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    alone, shared = (result["outage"][name] for name in ("alone", "shared"))
    assert min(shared[0], alone[0]) > 0
    assert result["facts_per_second"] > 0
    assert result["server_load"]["reports_per_second"] > 0
    assert "reports a second" in fleet._measured_text(result)


def test_peers(capsys: pytest.CaptureFixture[str]) -> None:
    """The short run has this library with its state shared and without, and peers if installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    assert fleet.main(["--quick", "--json", "--peers"]) == 0
    result = json.loads(capsys.readouterr().out)
    ours = [one for one in result["peers"] if one["contestant"] == "multirouter"]
    assert [one["shared"] for one in ours] == [False, True]
    assert min(one["wasted"] for one in ours) > 0
    assert "multirouter" in fleet._compared_text(result)
