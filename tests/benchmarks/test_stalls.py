"""A stall of the own event loop costs no call and opens no circuit of a healthy provider."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import stalls
from multirouter.testing.virtual_time.runner import Backend


@pytest.mark.parametrize("seconds", stalls.SECONDS)
@pytest.mark.parametrize(("backend", "rate"), [("asyncio", 200), ("uvloop", 40), ("trio", 40)])
def test_no_call_is_lost_and_no_circuit_opens(backend: Backend, rate: int, seconds: float) -> None:
    """The figures of docs/reference/timeouts.md, on asyncio at their rate of 200 calls a second."""
    row = stalls.healthy(backend, rate, seconds, 1)
    assert (row["lost"], row["opened"]) == (0, 0)
    assert row["calls"] == rate * (stalls.WARM_UP + stalls.SPACING)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_provider_that_hangs_is_found(backend: Backend) -> None:
    """Its circuit opens, later by about the stall itself; that of no other provider does."""
    without = stalls.hanging(backend, 20, 0.0, 1)["opened_after"]
    for seconds in stalls.SECONDS:
        row = stalls.hanging(backend, 20, seconds, 1)
        assert (row["lost"], row["others_opened"]) == (0, 0)
        assert without <= row["opened_after"] <= without + seconds + 2.0


def test_json_and_text_have_both_tables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--json` prints both tables as data, text prints them as tables; a lost call is exit 1."""
    row: dict[str, Any] = {"loop": "asyncio", "stall": 0.5, "rate": 20, "stalls": 1, "calls": 9}
    row |= {"lost": 0, "opened": 0, "excused": 0, "p99": 1.0, "max": 2.0}
    hanging = {"opened_after": None, "others_opened": 0}
    rows = {"healthy": [row], "hanging": [row | hanging]}
    monkeypatch.setattr(stalls, "measured", lambda *_: rows)
    assert stalls.main(["--quick", "--json"]) == 0
    assert {"healthy", "hanging"} <= json.loads(capsys.readouterr().out).keys()
    row["lost"] = 1
    assert stalls.main(["--quick", "--loop", "asyncio"]) == 1
    assert "never" in capsys.readouterr().out


def test_quick_run(capsys: pytest.CaptureFixture[str]) -> None:
    """`--quick` measures each stall once, on one loop."""
    assert stalls.main(["--quick", "--json", "--loop", "asyncio"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["stall"] for row in found["healthy"]] == list(stalls.SECONDS)
    assert len(found["hanging"]) == len(stalls.SECONDS) + 1
