"""The benchmarks' common parts: discovery, rounds, percentiles, tables, the growth of memory."""

from __future__ import annotations

from itertools import pairwise

import pytest

from benchmarks import __main__ as command
from benchmarks.harness.memory import CHECKPOINTS, MOST_BLOCKS, MOST_RESIDENT, Footprint, growth
from benchmarks.harness.percentiles import percentiles
from benchmarks.harness.progress import Progress
from benchmarks.harness.rounds import interleave, over, ratio
from benchmarks.harness.tables import table


def test_benchmarks_are_found_by_what_they_have() -> None:
    """Whatever has a `main` is a benchmark and says in a line what it asks; the harness is none."""
    found = command.discovered()
    assert {"overhead", "load", "soak"} <= set(found)
    assert "harness" not in found
    assert all(found.values())


def test_an_unknown_name_is_an_error_and_none_is_a_question(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command lists what there is; it fails only when asked for what there is not."""
    assert command.main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in command.discovered())
    assert command.main(["overheat"]) == 2
    assert "overheat" in capsys.readouterr().err


@pytest.mark.real_io
@pytest.mark.backends("asyncio")
async def test_rounds_time_everybody_once_each_in_changing_order() -> None:
    """Each contestant has one time a round, and follows each of the others at some time."""
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


def test_percentiles_are_latencies_that_were_measured() -> None:
    """By nearest rank: of 1,000 latencies the 990th is p99, and one alone is every percentile."""
    found = percentiles([float(rank) for rank in range(1000, 0, -1)])
    assert found == {"p50": 500, "p95": 950, "p99": 990, "p99.9": 999, "max": 1000}
    assert set(percentiles([7.0]).values()) == {7.0}


def test_tables_line_up() -> None:
    """Names stand to the left, figures to the right, and no line ends in spaces."""
    assert table(("", "µs"), [("a", "1.0"), ("longer", "10.0")]).splitlines() == [
        "          µs",
        "──────  ────",
        "a        1.0",
        "longer  10.0",
    ]


def footprints(blocks: float = 0.0, resident: float = 0.0) -> list[Footprint]:
    """Looks at a run whose memory grows evenly, by so much from one look to the next."""
    return [
        Footprint(200_000 + round(look * blocks), 50_000_000 + round(look * resident))
        for look in range(CHECKPOINTS)
    ]


def test_memory_that_grows_is_told_from_a_passing_high() -> None:
    """Growth beyond the bounds is a problem in either measure; one high look among flat is none."""
    assert growth(footprints()) == []
    assert len(growth(footprints(blocks=MOST_BLOCKS / 3))) == 1
    assert len(growth(footprints(resident=MOST_RESIDENT / 3))) == 1
    flat = footprints()
    assert growth([*flat[:-1], Footprint(300_000, 90_000_000)]) == []
