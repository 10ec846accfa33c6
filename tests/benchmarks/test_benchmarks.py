"""Each benchmark in its quick form: it runs, and its output has the expected figures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import soak
from benchmarks.harness import loops
from benchmarks.overhead import peers
from multirouter import CallOutcome, Listener


def run_benchmark(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """The JSON that a benchmark prints."""
    assert command.main([*argv, "--quick", "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert result["benchmark"] == argv[0]
    assert {"python", "system", "processors", "packages"} <= set(result["machine"])
    return result


def test_overhead(capsys: pytest.CaptureFixture[str]) -> None:
    """The router at each size, the floor and the installed peers are timed beside the bare call."""
    result = run_benchmark(capsys, "overhead", "--loop", "asyncio")
    assert result["gc"]
    assert "1.2 times the floor" in result["aims"]
    (found,) = result["loops"]
    healthy = found["healthy"]
    sizes = [f"router, {size} providers" for size in ("3", "10", "100", "1,000")]
    installed = {name for name, _ in peers.installed()}
    assert set(healthy) == {"bare", "floor", "floor, 1,000 providers", *sizes, *installed}
    for name in sizes:
        assert healthy[name]["us_per_call"] > healthy[name]["us_over_bare"] > 0
        assert healthy[name]["times_floor"]["median"] > 0
    ratios = {"router_to_floor", "router_at_1000_to_at_3", "floor_at_1000_to_at_3"}
    assert ratios <= set(found["held_against_aims"])
    failing = found["failing_over"]
    assert failing["router, logs at info"]["us_over_bare"] > 0


def test_load(capsys: pytest.CaptureFixture[str]) -> None:
    """Both loads have throughput and percentiles, and calls in flight have their memory."""
    result = run_benchmark(capsys, "load", "--loop", "asyncio", "--latency", "0.01:0.5:1")
    (found,) = result["loops"]
    for load in ("closed", "open"):
        for name in ("by hand", "router"):
            assert found[load][name]["calls"] > 0
            assert found[load][name]["failed"] >= 0
            assert found[load][name]["calls_per_second"] > 0
            latency = found[load][name]["latency"]
            assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    in_flight_result = found["in_flight"]
    assert in_flight_result["calls"] == 1_000
    assert 0 < in_flight_result["bytes_beyond_bare"] < 4096


@pytest.mark.parametrize("clock", [["--virtual"], ["--calls", "1000"]], ids=["virtual", "real"])
def test_soak(capsys: pytest.CaptureFixture[str], clock: list[str]) -> None:
    """Every call ends, faults occur, nothing stays in flight and memory is flat."""
    result = run_benchmark(capsys, "soak", *clock)
    assert sum(result["ended"].values()) == result["calls"]
    assert result["ended"]["answered"] > 0
    assert result["failovers"] > 0
    assert result["attempts_in_flight"] == 0
    assert len(result["footprints"]) == soak.CHECKPOINTS
    assert result["problems"] == []


class LeakingListener(Listener):
    """Keeps every outcome."""

    def __init__(self) -> None:
        self.outcomes: list[CallOutcome[Any]] = []

    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        self.outcomes.append(outcome)


def test_soak_detects_a_leak() -> None:
    """One listener that keeps every outcome makes the soak fail."""
    result = loops.run("asyncio", lambda: soak.soak(5_000, 1.0, [LeakingListener()]), virtual=True)
    assert any("memory grew" in problem for problem in result["problems"])
