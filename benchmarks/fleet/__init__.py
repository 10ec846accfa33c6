"""What does a fleet waste on a dead provider, with its state shared and without?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.fleet.processes import compare, measure
from benchmarks.fleet.simulation import OUTAGES, simulate
from benchmarks.harness import report
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table

SIZES = (1, 10, 100, 1000)

MOST_WASTED = 1 / 3
"""Aim: calls wasted after an outage began, as a share of those without sharing."""

MOST_ADDED = 1.0
"""Aim: processor time that sharing adds to a healthy call, microseconds."""


def main(argv: list[str]) -> int:
    """Runs the benchmark; see `--help`. It fails when an aim is missed."""
    parser = report.parser("fleet", __doc__ or "")
    parser.add_argument("--simulate", action="store_true", help="simulate fleets for an hour")
    parser.add_argument("--draw", type=Path, help="with --simulate: write a picture (.png, .svg)")
    parser.add_argument("--from-json", type=Path, help="draw and print an earlier simulation")
    parser.add_argument("--url", help="a server that runs; left out, redis-server is started")
    parser.add_argument("--peers", action="store_true", help="an outage with each peer installed")
    options = parser.parse_args(argv)
    if options.simulate or options.from_json:
        result = (
            json.loads(options.from_json.read_text())
            if options.from_json
            else {"simulation": _simulate(quick=options.quick)}
        )
        if options.draw:
            from benchmarks.fleet.picture import draw

            draw(result["simulation"], options.draw)
        report.show("fleet", result, lambda: simulation_table(result), as_json=options.json)
        return 0
    if options.peers:
        compared = {"peers": compare(options.url, quick=options.quick)}
        report.show("fleet", compared, lambda: _compared_text(compared), as_json=options.json)
        return 0
    measured = measure(options.url, quick=options.quick)
    report.show("fleet", measured, lambda: _measured_text(measured), as_json=options.json)
    return 0 if options.quick or _reached(measured) else 1


def _simulate(*, quick: bool) -> list[dict[str, Any]]:
    sizes = SIZES[:2] if quick else SIZES
    progress = Progress("fleet", 2 * len(sizes))
    found = []
    for size in sizes:
        for shared in (False, True):
            found.append(simulate(size, shared=shared))
            progress.step()
    return found


def simulation_table(result: dict[str, Any]) -> str:
    """The simulation as a table: one row for each size, with and without sharing."""
    head = ["processes", "sharing", "all know after", "wasted", "trials", "per recovery", "Redis"]
    rows = []
    for run in result["simulation"]:
        known = [outage["known_after"] for outage in run["outages"]]
        shown = "/".join("-" if seconds is None else f"{seconds:.1f}" for seconds in known)
        trials = sum(outage["trials"] for outage in run["outages"])
        rows.append(
            [
                f"{run['processes']:,}",
                "yes" if run["shared"] else "no",
                f"{shown} s",
                f"{sum(outage['wasted'] for outage in run['outages']):,}",
                f"{trials:,}",
                f"{trials / len(run['outages']):,.1f}",
                f"{run['commands_per_second']:,.1f}/s",
            ]
        )
    lines = [f"{kind} for {seconds:g} s" for _, seconds, kind in OUTAGES]
    return f"{table(head, rows)}\n\noutages: {'; '.join(lines)}"


def _compared_text(result: dict[str, Any]) -> str:
    head = ["", "sharing", "wasted calls", "of them trials", "seconds until all know", "calls"]
    rows = [
        [
            one["contestant"],
            "yes" if one["shared"] else "no",
            f"{one['wasted']:,}",
            f"{one['trials']:,}",
            f"{one['known_after']:.2f}",
            f"{one['calls']:,}",
        ]
        for one in result["peers"]
    ]
    return str(table(head, rows))


def _measured_text(result: dict[str, Any]) -> str:
    busy = result["server_load"]
    load = f"Redis with {busy['processes']:,} processes and a limit that they share: "
    load += f"{busy['reports_per_second']:,.0f} reports a second, {busy['core']:.0%} of a core"
    rows = [[name, *(f"{value:,.2f}" for value in row)] for name, row in result["outage"].items()]
    lines = [
        table(["four processes", "wasted calls", "calls", "seconds until all know"], rows),
        "",
        f"wasted with sharing: {result['wasted_share']:.0%} of those without (aim: at most 33 %)",
        f"added to a healthy call: {result['added_us']:.3f} us (aim: under 1 us)",
        f"commands of Redis: {result['commands_per_second']:.1f} a second, idle fleet of four",
        f"facts published and received by four: {result['facts_per_second']:,.0f} a second",
        load,
    ]
    return "\n".join(lines)


def _reached(result: dict[str, Any]) -> bool:
    return bool(result["wasted_share"] <= MOST_WASTED and result["added_us"] < MOST_ADDED)
