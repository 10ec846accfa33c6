"""The gateway's benchmarks in their quick forms, and what they judge by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks.gateway import calls, processes, soak
from benchmarks.gateway.visitors import SORTS, surprises
from benchmarks.harness.memory import CHECKPOINTS


def ran(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """The JSON that the benchmark prints."""
    code = command.main(["gateway", *argv, "--quick", "--json"])
    printed = capsys.readouterr().out
    assert code == 0, printed
    result: dict[str, Any] = json.loads(printed)
    return result


def test_calls(capsys: pytest.CaptureFixture[str]) -> None:
    """The bare proxy is the measure; the gateway has its latency, throughput, start and memory."""
    result = ran(capsys, "calls", "--plain", "--workers", "1")
    assert (result["client"], result["upstream"]) == ("own", "python")
    summary = result["summary"]
    assert {"bare proxy", "gateway"} <= set(summary)
    assert summary["bare proxy"]["times_floor_p50"] == 1.0
    assert summary["bare proxy"]["share_of_floor"] == 1.0
    for figure in ("p50_ms", "per_second", "processor_us", "ready_s", "resident_mib"):
        assert summary["gateway"][figure] > 0


def test_streams(capsys: pytest.CaptureFixture[str]) -> None:
    """Every stream comes whole from the upstream and through both proxies, chunk by chunk."""
    result = ran(capsys, "streams")
    assert set(result["ms"]) == {"no proxy", "bare proxy", "gateway"}
    assert (result["streams"], result["chunks"]) == (20, 14)
    for figures in result["ms"].values():
        assert 0 < figures["p50"] <= figures["p99"] <= figures["max"]


def test_soak(capsys: pytest.CaptureFixture[str]) -> None:
    """Every request ends as it should, nothing is left behind, memory and descriptors are flat."""
    result = ran(capsys, "soak")
    assert sum(result["ended"].values()) == result["requests"] == 600
    assert {name.partition(": ")[0] for name in result["ended"]} == set(SORTS)
    assert len(result["looks"]) == CHECKPOINTS
    assert result["in_flight"] == 0
    assert result["problems"] == []


def looks(**last: Sequence[int]) -> list[dict[str, int]]:
    """A flat soak, but for the last looks at what is named."""
    flat = {"blocks": 300_000, "resident": 70 << 20, "descriptors": 25}
    found = [dict(flat) for _ in range(CHECKPOINTS)]
    for what, values in last.items():
        for look, value in zip(found[-len(values) :], values, strict=True):
            look[what] = value
    return found


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (looks(), []),
        (looks(descriptors=[900, 40, 900]), []),
        (looks(descriptors=[90, 80, 90]), ["55 more files and sockets are open at the end"]),
        (looks(blocks=[303_000] * 3), ["memory grew: 3,000 blocks more at the end, allowed 2,000"]),
    ],
    ids=["flat", "a passing high", "descriptors", "memory"],
)
def test_a_soak_tells_what_grew(seen: list[dict[str, int]], told: list[str]) -> None:
    """What the last looks all have beyond the settled ones is told; a passing high is not."""
    assert soak.grown(seen) == told


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        ({"chat: 200": 99, "stream: broken": 1, "chat, leaves: 502": 50}, []),
        ({"wrong key: 401": 5, "wrong key: 200": 1}, ["1 of the sort wrong key: 200"]),
        (
            {"chat: no answer in 30 s": 1, "chat: 200": 999},
            ["1 of the sort chat: no answer in 30 s"],
        ),
        ({"stream: 502": 6, "stream: whole": 94}, ["6 of 100 patient requests not answered"]),
    ],
    ids=["as it should", "a key that opens", "hangs", "too many fail"],
)
def test_a_soak_tells_surprises(ended: dict[str, int], told: list[str]) -> None:
    """An end that a sort may not have is told, and patient requests that faults reach too often."""
    assert surprises(ended) == told


@pytest.mark.backends("asyncio")
async def test_a_process_that_ends_is_not_waited_for() -> None:
    """Whoever cannot start says so at once, with what was asked of it."""
    with (
        processes.process(("false", "--port", "1")) as made,
        pytest.raises(RuntimeError, match=r"ended by itself with 1: .*'--port'"),
    ):
        made.wait()
        await calls.ready(made, lambda: None)


def test_ratios_are_of_medians_within_rounds() -> None:
    """A machine that is slower in one round moves no ratio, for it is slower for everybody."""
    bare = {
        calls.P50: [0.001, 0.010, 0.002],
        calls.THROUGHPUT: [3000.0, 300.0, 1500.0],
        calls.PROCESSOR: [0.0002] * 3,
        "ready_s": 1.0,
        "resident_mib": 50.0,
    }
    twice = {**bare, calls.P50: [0.002, 0.020, 0.004], calls.THROUGHPUT: [1500.0, 150.0, 750.0]}
    summary = calls.summary({"bare": bare, "twice": twice})
    assert summary["twice"]["times_floor_p50"] == pytest.approx(2.0)
    assert summary["twice"]["share_of_floor"] == pytest.approx(0.5)
    assert summary["twice"]["per_second"] == 750.0
