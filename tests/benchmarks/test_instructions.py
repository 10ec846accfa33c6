"""The guard of a healthy call's instructions: what it compares, and when it fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import instructions
from benchmarks.instructions import calls, counting

VERSION = "{}.{}".format(*sys.version_info)

VALGRIND = """
==2== Events    : Ir
==2== Collected : 1000
==3== Collected : 81000
==4== Collected : 97000
==1== Collected : 1200
"""


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Counts 160 instructions of a call of the floor and 192 of the router's, and expects 1.2."""
    monkeypatch.setattr(instructions, "counts", lambda _: counting.collected(VALGRIND))
    expected = tmp_path / "expected.json"
    expected.write_text(json.dumps({VERSION: 1.2}))
    monkeypatch.setattr(instructions, "EXPECTED", expected)
    return expected


def test_what_the_calls_add_to_the_first_process_is_compared(counted: Path) -> None:
    """The instructions before the calls are in no figure, and the last process is in none."""
    found = instructions.measured()
    assert found == {"floor": 160.0, "router": 192.0, "router_to_floor": 1.2}
    assert instructions.main(["--check"]) == 0


@pytest.mark.parametrize(("expected", "fails"), [(1.26, 0), (1.15, 0), (1.27, 1), (1.14, 1)])
def test_a_ratio_off_by_more_than_the_tolerance_fails_the_check(
    counted: Path, capsys: pytest.CaptureFixture[str], expected: float, fails: int
) -> None:
    """A ratio of 1.2 is within 5 % of 1.26, and not of 1.27; without `--check` nothing fails."""
    counted.write_text(json.dumps({VERSION: expected}))
    assert instructions.main(["--check"]) == fails
    assert bool(capsys.readouterr().err) == bool(fails)
    assert instructions.main([]) == 0


def test_the_check_counts_again(counted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One count that is off fails nothing; three do."""
    more = VALGRIND.replace("97000", "117000")
    counts = iter([more, more, VALGRIND, more, more, more])
    monkeypatch.setattr(instructions, "counts", lambda _: counting.collected(next(counts)))
    assert instructions.main(["--check"]) == 0
    assert instructions.main(["--check"]) == 1
    assert next(counts, None) is None


def test_write_makes_the_ratio_the_expected_one(counted: Path) -> None:
    """A version without a ratio fails the check until `--write` has written it."""
    counted.write_text("{}")
    assert instructions.main(["--check"]) == 1
    assert instructions.main(["--write"]) == 0
    assert json.loads(counted.read_text()) == {VERSION: 1.2}
    assert instructions.main(["--check"]) == 0


def test_without_valgrind_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine that cannot count passes the check, and the output says that nothing counted."""
    monkeypatch.setattr(counting.shutil, "which", lambda _: None)
    assert instructions.main(["--check"]) == 0
    assert "not counted: valgrind is not installed" in capsys.readouterr().out


def test_the_program_makes_its_calls_in_processes_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three processes: one without calls, one of the floor, one of the router."""
    made: list[int] = []
    monkeypatch.setattr(calls, "_in_process", lambda _runner, _call, number: made.append(number))
    monkeypatch.setattr(calls.gc, "freeze", lambda: None)
    calls.main(7)
    assert made == [0, 7, 7]


def test_expected_ratios_are_of_supported_versions() -> None:
    """The file has a ratio above 1 for each version that `.ci/run` tests."""
    expected = json.loads(instructions.EXPECTED.read_text())
    assert set(expected) == {"3.11", "3.12", "3.13"}
    assert min(expected.values()) > 1
