"""The benchmarks' shared parts: discovery, rounds, percentiles, tables, growth of memory."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from benchmarks import __main__ as command
from benchmarks.harness.memory import (
    CHECKPOINTS,
    MAX_BLOCK_GROWTH,
    MAX_RESIDENT_GROWTH,
    Footprint,
    growth,
)
from benchmarks.harness.percentiles import percentiles
from benchmarks.harness.processor_clock import ProcessorTimeLoop
from benchmarks.harness.progress import Progress
from benchmarks.harness.rounds import interleave, over, ratio
from benchmarks.harness.tables import table


def test_modules_with_main_are_benchmarks() -> None:
    """Each has a description; the harness is not one."""
    found = command.discover()
    assert {"overhead", "load", "soak"} <= set(found)
    assert "harness" not in found
    assert all(found.values())


def test_the_command_lists_benchmarks_and_rejects_unknown_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It fails only for an unknown name."""
    assert command.main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in command.discover())
    assert command.main(["overheat"]) == 2
    assert "overheat" in capsys.readouterr().err


@pytest.mark.real_io
@pytest.mark.backends("asyncio")
async def test_each_round_times_every_contestant_once() -> None:
    """Each contestant has one time per round, and follows each of the others at some time."""
    order: list[str] = []

    def contestant(name: str):
        async def call(request: str) -> str:
            if order[-1:] != [name]:
                order.append(name)
            return request

        return call

    contestants = {name: contestant(name) for name in "abc"}
    times = await interleave(contestants, rounds=6, block=1e-6, progress=Progress("", 6))
    assert {name: len(times[name]) for name in times} == {"a": 6, "b": 6, "c": 6}
    played = order[3:]  # after all have warmed up, each in turn
    pairs = set(pairwise(played))
    assert pairs == {(a, b) for a in "abc" for b in "abc" if a != b}


def test_costs_are_compared_within_their_round() -> None:
    """A round in which everything was twice as slow changes no ratio."""
    times = {"bare": [1.0, 2.0, 1.0], "floor": [3.0, 6.0, 3.0], "router": [5.0, 10.0, 5.0]}
    ratios = ratio(over(times, "router", "bare"), over(times, "floor", "bare"))
    assert ratios == {"median": 2.0, "lower_quartile": 2.0, "upper_quartile": 2.0}


def test_percentiles_are_measured_latencies() -> None:
    """By nearest rank: of 1,000 latencies the 990th is p99, and one alone is every percentile."""
    found = percentiles([float(rank) for rank in range(1000, 0, -1)])
    assert found == {"p50": 500, "p95": 950, "p99": 990, "p99.9": 999, "max": 1000}
    assert set(percentiles([7.0]).values()) == {7.0}


def test_tables_are_aligned() -> None:
    """Names are aligned left, figures right, and no line ends in spaces."""
    assert table(("", "µs"), [("a", "1.0"), ("longer", "10.0")]).splitlines() == [
        "          µs",
        "──────  ────",
        "a        1.0",
        "longer  10.0",
    ]


def footprints(blocks: float = 0.0, resident: float = 0.0) -> list[Footprint]:
    """Footprints of a run whose memory grows evenly, by this much per checkpoint."""
    return [
        Footprint(200_000 + round(sample * blocks), 50_000_000 + round(sample * resident))
        for sample in range(CHECKPOINTS)
    ]


def test_growth_is_reported_and_a_peak_is_not() -> None:
    """Growth beyond the bounds is a problem in either measure; one high sample is not."""
    assert growth(footprints()) == []
    assert len(growth(footprints(blocks=MAX_BLOCK_GROWTH / 3))) == 1
    assert len(growth(footprints(resident=MAX_RESIDENT_GROWTH / 3))) == 1
    flat = footprints()
    assert growth([*flat[:-1], Footprint(300_000, 90_000_000)]) == []


def test_a_wait_moves_the_clock_of_a_processor_time_loop() -> None:
    """An hour of sleep takes no time, and the loop's clock moves by the hour."""
    with asyncio.Runner(loop_factory=ProcessorTimeLoop) as runner:
        loop = runner.get_loop()
        began, loop_began = time.monotonic(), loop.time()
        runner.run(asyncio.sleep(3600.0))
        assert 3600.0 <= loop.time() - loop_began < 3601.0
        assert time.monotonic() - began < 60.0
