"""The gateway's benchmarks in their quick forms, and how they evaluate their results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks.gateway import bodies, calls, processes, soak, wire
from benchmarks.gateway.clients import REQUEST_KINDS, unexpected
from benchmarks.harness.memory import CHECKPOINTS


def run_benchmark(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """The JSON that the benchmark prints."""
    code = command.main(["gateway", *argv, "--quick", "--json"])
    printed = capsys.readouterr().out
    assert code == 0, printed
    result: dict[str, Any] = json.loads(printed)
    return result


def test_calls(capsys: pytest.CaptureFixture[str]) -> None:
    """Ratios refer to the bare proxy; the gateway has latency, throughput, start-up and memory."""
    result = run_benchmark(capsys, "calls", "--plain", "--workers", "1", "--turns", "2")
    assert (result["client"], result["upstream"]) == ("own", "python")
    summary = result["summary"]
    assert {"bare proxy", "gateway"} <= set(summary)
    assert summary["bare proxy"]["times_floor_p50"] == 1.0
    assert summary["bare proxy"]["share_of_floor"] == 1.0
    for figure in ("p50_ms", "per_second", "processor_us", "ready_s", "resident_mib"):
        assert summary["gateway"][figure] > 0


def test_conversation_is_in_front_of_the_question() -> None:
    """Each turn is a question, a call and its result; the model stays that of the contestant."""
    body = json.loads(wire.with_turns(wire.question("other"), 2))
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["user", "assistant", "tool"] * 2 + ["user"]
    assert (body["model"], body["messages"][-1]["content"]) == ("other", "Hello")


def test_streams(capsys: pytest.CaptureFixture[str]) -> None:
    """Every stream arrives complete from the upstream and through both proxies."""
    result = run_benchmark(capsys, "streams")
    assert set(result["ms"]) == {"no proxy", "bare proxy", "gateway"}
    assert (result["streams"], result["chunks"]) == (20, 14)
    for figures in result["ms"].values():
        assert 0 < figures["p50"] <= figures["p99"] <= figures["max"]


def test_soak(capsys: pytest.CaptureFixture[str]) -> None:
    """Every request ends as expected, nothing is left, memory and descriptors are flat."""
    result = run_benchmark(capsys, "soak")
    assert sum(result["ended"].values()) == result["requests"] == 600
    assert {name.partition(": ")[0] for name in result["ended"]} == set(REQUEST_KINDS)
    assert len(result["samples"]) == CHECKPOINTS
    assert result["in_flight"] == 0
    assert result["problems"] == []


def test_bodies(capsys: pytest.CaptureFixture[str]) -> None:
    """Requests with large bodies end in every way, and none of the bodies stays in memory."""
    result = run_benchmark(capsys, "bodies")
    assert {name.partition(": ")[0] for name in result["ended"]} == set(bodies.ENDINGS)
    assert result["problems"] == []


def test_bodies_that_stay_are_a_problem() -> None:
    """Growth after the second checkpoint, and a peak beyond the limit, are found."""
    flat = {"resident": 100.0, "peak": 140.0, "descriptors": 20.0}
    assert bodies.problems([flat] * 6) == []
    grown = [flat, flat, {**flat, "resident": 300.0}]
    assert bodies.problems(grown) == ["the resident size grew by 200 MiB"]
    assert bodies.problems([flat, {**flat, "peak": 600.0}]) == ["the peak exceeds the limit"]


def samples(**last: Sequence[int]) -> list[dict[str, int]]:
    """A flat soak, except for the last samples of the named figures."""
    flat = {"blocks": 300_000, "resident": 70 << 20, "descriptors": 25}
    found = [dict(flat) for _ in range(CHECKPOINTS)]
    for what, values in last.items():
        for sample, value in zip(found[-len(values) :], values, strict=True):
            sample[what] = value
    return found


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (samples(), []),
        (samples(descriptors=[900, 40, 900]), []),
        (samples(descriptors=[90, 80, 90]), ["55 more files and sockets are open at the end"]),
        (
            samples(blocks=[303_000] * 3),
            ["memory grew: 3,000 blocks more at the end, allowed 2,000"],
        ),
    ],
    ids=["flat", "a short peak", "descriptors", "memory"],
)
def test_a_soak_reports_growth(seen: list[dict[str, int]], expected: list[str]) -> None:
    """Growth in all of the last samples is reported; a short peak is not."""
    assert soak.grown(seen) == expected


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        ({"chat: 200": 99, "stream: broken": 1, "chat, cancelled: 502": 50}, []),
        ({"wrong key: 401": 5, "wrong key: 200": 1}, ["1 of the kind wrong key: 200"]),
        (
            {"chat: no answer in 30 s": 1, "chat: 200": 999},
            ["1 of the kind chat: no answer in 30 s"],
        ),
        ({"stream: 500": 1, "stream: complete": 999}, ["1 of the kind stream: 500"]),
        ({"stream: 502": 6, "stream: complete": 94}, ["6 of 100 patient requests not answered"]),
    ],
    ids=["as expected", "accepted invalid key", "hangs", "own error", "too many fail"],
)
def test_a_soak_reports_unexpected_ends(ended: dict[str, int], expected: list[str]) -> None:
    """So are ends that a kind may not have, and too many failed patient requests."""
    assert unexpected(ended) == expected


@pytest.mark.backends("asyncio")
async def test_a_process_that_exits_raises_at_once() -> None:
    """The error has the exit code and the command."""
    with (
        processes.process(("false", "--port", "1")) as made,
        pytest.raises(RuntimeError, match=r"exited with 1: .*'--port'"),
    ):
        made.wait()
        await calls.ready(made, lambda: None)


def test_ratios_are_of_medians_within_rounds() -> None:
    """A round in which the machine is slow changes no ratio: all contestants are slow in it."""
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
