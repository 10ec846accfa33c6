"""Clients that learn a hidden limit: the figures of docs/reference/limits.md, in small."""

from __future__ import annotations

import json

import pytest

from benchmarks import limits
from benchmarks.limits.simulation import jain, simulate


def test_clients_that_learn_meet_few_429s_and_share_fairly() -> None:
    """Ten clients at one bucket: far fewer 429s than with backoff alone, in about the same time."""
    backoff = simulate("backoff", 10, 2.0, 100, burst=20.0)
    for mode in ("learned", "learned from headers"):
        learned = simulate(mode, 10, 2.0, 100, burst=20.0)
        assert learned["rejected"] < 0.1 * backoff["rejected"]
        assert learned["seconds"] < 1.2 * backoff["seconds"]  # by chance, in so few calls
        assert learned["jain"] > 0.8


def test_jains_index() -> None:
    """1 for equal parts, 1/n when one client has all."""
    assert jain([3, 3, 3]) == 1.0
    assert jain([9, 0, 0]) == pytest.approx(1 / 3)
    assert jain([0, 0]) == 1.0


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """A short run prints all modes; the aims are those of the long one."""
    assert limits.main(["--quick", "--json"]) == 0
    modes = json.loads(capsys.readouterr().out)["modes"]
    assert [mode["mode"] for mode in modes] == list(limits.MODES)
    assert "429s per answer" in limits.text({"modes": modes})
    aims = {"rejected": 100, "seconds": 100.0, "jain": 1.0}
    learned = {"mode": "learned", "rejected": 5, "seconds": 105.0, "jain": 0.9}
    assert limits.reached([{"mode": "backoff", **aims}, learned])
    for missed in ({"rejected": 6}, {"seconds": 106.0}, {"jain": 0.89}):
        assert not limits.reached([{"mode": "backoff", **aims}, {**learned, **missed}])
