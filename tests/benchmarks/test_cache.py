"""Benchmark `cache`: its oracle is an upper bound, and its figures have the expected order."""

from __future__ import annotations

import json

import pytest

from benchmarks import cache
from benchmarks.cache import STRATEGIES, Turn, World, is_up, oracle, simulate


def world(*turns: Turn, down: float | None = None) -> World:
    """A world of one session, in which the first two providers are down from a time on."""
    made = World(1, 1, 1.0)
    made.turns = [list(turns)]
    times = [] if down is None else [down]
    made.outages = {"first": times, "second": times, "third": []}
    return made


def test_the_oracle_reads_all_that_can_be_cached() -> None:
    """It stays with the provider that will not go down; a long pause loses the cache."""
    turns = [Turn(float(at), 1000 + at, 10, 1.0) for at in (0, 10, 20, 400)]
    found = oracle(world(*turns, down=15.0), by_cost=False)
    assert (found.prompt, found.cached) == (4430, 1000 + 1010)
    cheap = oracle(world(*turns), by_cost=True)
    assert cheap.usd < oracle(world(*turns, down=5.0), by_cost=True).usd


def test_a_provider_is_up_between_its_outages() -> None:
    """Each is from one time to the next."""
    assert [is_up([10.0, 20.0], at) for at in (0.0, 10.0, 19.0, 20.0)] == [True, False, False, True]


def test_the_router_keeps_a_session_through_an_outage() -> None:
    """Sticky reads more from caches than weights do, and no more than the oracle."""
    turns = [Turn(at * 10.0, 1000 * at, 10, 1.0) for at in range(1, 30)]
    tested = world(*turns, down=95.0)
    best = oracle(tested, by_cost=False).cached
    sticky = simulate(tested, STRATEGIES["sticky (default)"])
    assert simulate(tested, None).cached < sticky.cached <= best
    assert sticky.failed == 0


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Each policy has its row, in JSON and as text."""
    assert cache.main(["--quick", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    shares = {row["policy"]: row["of_oracle"] for row in rows}
    assert shares.keys() == {"oracle", "oracle of cost", *STRATEGIES}
    assert shares["weighted"] < shares["sticky (default)"] <= 1.0
    assert "sticky (default)" in cache.text({"rows": rows})
