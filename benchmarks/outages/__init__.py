"""What do callers notice of a month of outages, beside an oracle and hand-written policies?"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import report
from benchmarks.outages import text
from benchmarks.outages.contestants import ORACLE, POLICIES, contestants
from benchmarks.outages.experiments import Experiment, run_experiments
from benchmarks.outages.measures import PERCENTILES, percentile
from benchmarks.outages.schedule import Scenario, busy, dense, month
from benchmarks.outages.summary import summarize
from benchmarks.outages.tail import tail
from multirouter.errors import ConfigurationError

BUSY_HOURS = 2.0
"""Hours of the busy day that run by default: all 24 have 8.6 million calls for each policy and
seed, and take far longer than the month."""


def main(argv: list[str]) -> int:
    """Runs the benchmark; see `--help`."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        policies = contestants(options.only, options.variant)
    except ConfigurationError as error:
        parser.error(str(error))
    seeds = range(options.seed, options.seed + options.seeds)
    found = run_experiments(
        _scenarios(options),
        policies,
        seeds,
        length_share=options.length_share,
        workers=options.workers,
    )
    result = _result(options, found)
    report.show("outages", result, lambda: text.report(result), as_json=options.json)
    if options.picture:
        from benchmarks.outages.picture import draw

        draw(found, options.picture)
        draw(found, options.picture.with_stem(f"{options.picture.stem}-small"), small=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = report.parser("outages", __doc__ or "")
    add = parser.add_argument
    add("--seed", type=int, default=1, help="the first seed (1)")
    add("--seeds", type=int, default=1, help="how many seeds (1)")
    add("--scenario", choices=("month", "dense", "busy", "all"), default="all")
    add("--days", type=float, help="days of the month (30; dense: 10; quick: 1)")
    add("--busy-hours", type=float, help="hours of the busy day (2; quick: 0.02)")
    add("--only", action="append", default=[], metavar="POLICY", help=", ".join(POLICIES))
    add(
        "--variant",
        action="append",
        default=[],
        metavar="'NAME: circuit.open_duration=3 latency.floor=1.5'",
        help="one more policy: the router with other settings of circuit, hedge, latency, retry",
    )
    add(
        "--length-share",
        type=float,
        default=0.0,
        help="share of a latency's variance that belongs to the request, 0 to 1 (0)",
    )
    add("--tail", action="append", default=[], metavar="POLICY", help="show where it loses time")
    add(
        "--picture",
        type=Path,
        metavar="FILE",
        help="write a figure as .png or .svg (requires matplotlib)",
    )
    add("--workers", type=int, help="number of processes (2)")
    return parser


def _scenarios(options: argparse.Namespace) -> list[Scenario]:
    days = options.days or (1.0 if options.quick else None)
    hours = options.busy_hours or (0.02 if options.quick else BUSY_HOURS)
    makers: dict[str, Callable[[], Scenario]] = {
        "month": lambda: month(days or 30.0),
        "dense": lambda: dense(days or 10.0),
        "busy": lambda: busy(hours),
    }
    return [make() for name, make in makers.items() if options.scenario in {name, "all"}]


def _result(options: argparse.Namespace, found: Sequence[Experiment]) -> dict[str, Any]:
    scenarios = {}
    for scenario in _scenarios(options):
        of_it = [experiment for experiment in found if experiment.scenario == scenario.name]
        scenarios[scenario.name] = {
            "hours": scenario.seconds / 3600.0,
            "rate": scenario.rate,
            **summarize(of_it),
        }
    tails = [_tail(found, experiment) for experiment in found if experiment.policy in options.tail]
    return {"length_share": options.length_share, "scenarios": scenarios, "tails": tails}


def _tail(found: Sequence[Experiment], experiment: Experiment) -> dict[str, Any]:
    """The breakdown of one experiment against the oracle's p99.9 in the same world."""
    oracle = next(
        other
        for other in found
        if (other.policy, other.scenario, other.seed)
        == (ORACLE, experiment.scenario, experiment.seed)
    )
    limit = percentile(sorted(oracle.run.elapsed), PERCENTILES["p99.9"])
    return {
        "scenario": experiment.scenario,
        "policy": experiment.policy,
        "seed": experiment.seed,
        **tail(experiment.world, experiment.run, limit),
    }
