"""The figures of docs/explanation/circuits.md for the default rule hold in the simulation."""

from __future__ import annotations

import json

import pytest

from benchmarks import trip_rule


def test_heavy_traffic_does_not_trip_a_healthy_provider() -> None:
    """At 100 calls/s and 5 % errors `failures=3` trips by the dozen, the default rule never."""
    naive = trip_rule.false_trips("failures=3", 100.0, 0.05, 200_000)
    ours = trip_rule.false_trips("default", 100.0, 0.05, 200_000)
    assert (ours["seen"], ours["run"]) == (0, 9)
    # 200,000 * 0.95 * 0.05**3 = 23.75 runs expected: sigma 4.9.
    assert 8 <= naive["seen"] <= 44
    assert naive["run_a_day"] == pytest.approx(1026.0)


@pytest.mark.parametrize(("load", "calls", "p99"), [(0.1, 3, 150), (1, 3, 15), (100, 9, 0.3)])
def test_a_dead_provider_trips(load: float, calls: int, p99: float) -> None:
    """It trips after the run length of its load, as fast as that many calls arrive."""
    found = trip_rule.time_to_trip("default", load, 60)
    assert found["calls"] == pytest.approx(calls, abs=0.7)
    assert found["median"] < found["p99"] < p99


@pytest.mark.parametrize("outage", trip_rule.OUTAGES)
def test_a_recovered_provider_is_used_within_30_seconds(outage: float) -> None:
    """After a short and a long outage alike; a dead one gets a few trials a minute."""
    back = trip_rule.recovery("default", 10.0, outage, 60)
    assert 0 < back["mean"] < back["longest"] < 30.0
    assert back["trials_an_hour"] < 300


def test_json_and_text_have_all_tables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--json` prints all three tables as data, text prints them as tables."""
    monkeypatch.setattr(trip_rule, "measured", lambda calls, repeats: MEASURED)
    assert trip_rule.main(["--quick", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {"false_trips", "time_to_trip", "recovery"} <= printed.keys()
    assert trip_rule.main(["--quick"]) == 0
    assert "a healthy provider" in capsys.readouterr().out


MEASURED = {
    "false_trips": [trip_rule.false_trips("default", 1.0, 0.05, 1000)],
    "time_to_trip": [trip_rule.time_to_trip("default", 1.0, 5)],
    "recovery": [trip_rule.recovery("default", 10.0, 30.0, 5)],
}
