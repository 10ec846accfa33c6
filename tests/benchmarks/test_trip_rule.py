"""What docs/circuits.md claims of the default rule holds in the simulation it names."""

from __future__ import annotations

import json

import pytest

from benchmarks import trip_rule


def test_heavy_traffic_does_not_trip_a_healthy_provider() -> None:
    """At 100 calls/s and 5 % errors three in a row trip by the dozen, the default rule never."""
    naive = trip_rule.false_trips("failures=3", 100.0, 0.05, 200_000)
    ours = trip_rule.false_trips("default", 100.0, 0.05, 200_000)
    assert (ours["seen"], ours["run"]) == (0, 9)
    # 200,000 * 0.95 * 0.05**3 = 23.75 runs expected: sigma 4.9.
    assert 8 <= naive["seen"] <= 44
    assert naive["run_a_day"] == pytest.approx(1026.0)


@pytest.mark.parametrize(("load", "calls", "p99"), [(0.1, 3, 150), (1, 3, 15), (100, 9, 0.3)])
def test_a_dead_provider_is_found_out(load: float, calls: int, p99: float) -> None:
    """It trips after the run of its load, and as fast as that many calls come."""
    found = trip_rule.time_to_trip("default", load, 60)
    assert found["calls"] == pytest.approx(calls, abs=0.7)
    assert found["median"] < found["p99"] < p99


@pytest.mark.parametrize("outage", trip_rule.OUTAGES)
def test_a_recovered_provider_is_back_within_half_a_minute(outage: float) -> None:
    """After a short and a long outage alike, and a dead one is tried a few times a minute."""
    back = trip_rule.recovery("default", 10.0, outage, 60)
    assert 0 < back["mean"] < back["longest"] < 30.0
    assert back["trials_an_hour"] < 300


def test_its_result_is_for_machines_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--json` prints all three tables as data, text prints them for people."""
    monkeypatch.setattr(trip_rule, "measured", lambda calls, repeats: MEASURED)
    assert trip_rule.main(["--quick", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"false_trips", "time_to_trip", "recovery"} <= told.keys()
    assert trip_rule.main(["--quick"]) == 0
    assert "a healthy provider" in capsys.readouterr().out


MEASURED = {
    "false_trips": [trip_rule.false_trips("default", 1.0, 0.05, 1000)],
    "time_to_trip": [trip_rule.time_to_trip("default", 1.0, 5)],
    "recovery": [trip_rule.recovery("default", 10.0, 30.0, 5)],
}
