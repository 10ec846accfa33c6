"""The command of the outage benchmark: options, JSON, text and figure."""

from __future__ import annotations

import json

import pytest

import benchmarks.outages
from benchmarks.outages.contestants import ORACLE, OURS, contestants, variant
from benchmarks.outages.experiments import run_experiments
from multirouter.errors import ConfigurationError, UsageError
from tests.benchmarks.test_outages import SHORT

BRIEF = ["--scenario", "month", "--days", "0.1", "--workers", "1"]


def test_json_has_figures_aims_and_tails(capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one object with each policy's figures, the aims and the requested tails."""
    options = [*BRIEF, "--json", "--only", OURS, "--tail", OURS]
    assert benchmarks.outages.main(options) == 0
    result = json.loads(capsys.readouterr().out)
    month_result = result["scenarios"]["month"]
    assert set(month_result["policies"]) == {ORACLE, OURS}
    assert month_result["aims"]
    assert result["tails"][0]["policy"] == OURS


def test_the_table_names_every_policy(capsys: pytest.CaptureFixture[str]) -> None:
    """The text has a column for each policy and variant, and the aims below."""
    options = [
        *BRIEF,
        "--only",
        OURS,
        "--variant",
        "quick: latency.floor=1 circuit.max_open_duration=10",
    ]
    assert benchmarks.outages.main([*options, "--tail", "quick"]) == 0
    printed = capsys.readouterr().out
    for description in (
        ORACLE,
        OURS,
        "quick",
        "p99.9 over the oracle's",
        "attempts beyond the first",
    ):
        assert description in printed


def test_variants_are_settings_of_the_router() -> None:
    """A variant names topics and settings; `inf` and None are understood."""
    name, maker = variant(
        "calm: circuit.open_duration=3 latency.slow_factor=inf hedge.after=2 timeout=60"
    )
    assert name == "calm"
    assert maker.settings["circuit"].open_duration == 3
    assert maker.settings["latency"].slow_factor == float("inf")
    assert maker.settings["hedge"].after == 2
    assert maker.settings["timeout"] == 60


@pytest.mark.parametrize(
    "text", ["nothing", "x: wine.color=3", "x: latency.color=3", "x: latency.floor=a b", ":"]
)
def test_an_invalid_variant_raises(text: str) -> None:
    """The error names the option."""
    with pytest.raises(ConfigurationError, match="--variant"):
        variant(text)


def test_an_unknown_policy_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """`--only` with an unknown name ends with status 2 and the known names."""
    with pytest.raises(SystemExit) as ended:
        benchmarks.outages.main([*BRIEF, "--only", "random"])
    assert ended.value.code == 2
    assert "oracle, ours" in capsys.readouterr().err


def test_the_figure_is_written(tmp_path) -> None:
    """Each scenario gets a file; other formats raise."""
    pytest.importorskip("matplotlib")
    from benchmarks.outages.picture import draw

    found = run_experiments([SHORT], contestants([OURS], []), [1], length_share=0.0, workers=1)
    (written,) = draw(found, tmp_path / "month.svg")
    assert written.stat().st_size > 10_000
    with pytest.raises(UsageError, match="png"):
        draw(found, tmp_path / "month.gif")
