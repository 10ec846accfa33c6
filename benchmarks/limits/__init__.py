"""Many clients at one provider with a rate limit that none of them knows: 429s, time, fairness."""

from __future__ import annotations

from typing import Any

from benchmarks.harness import report
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table
from benchmarks.limits.simulation import MODES, simulate

CLIENTS, RATE, CALLS = 100, 20.0, 300
"""Clients, requests a second that the provider admits, and calls of each client."""

BURST = 10.0
"""Seconds of its rate that the provider admits at once."""

FEWER = 0.95
"""Aim: 429s that are avoided, as a share of those of backoff alone."""

LONGER = 1.05
"""Aim: time of the whole work, as a multiple of that of backoff alone."""

FAIR = 0.9
"""Aim: Jain's index of the calls of each client when half of the work is done."""


def main(argv: list[str]) -> int:
    """Runs the benchmark; see `--help`. It fails when an aim is missed."""
    options = report.parser("limits", __doc__ or "").parse_args(argv)
    clients, rate, calls = (5, 2.0, 20) if options.quick else (CLIENTS, RATE, CALLS)
    progress = Progress("limits", len(MODES))
    found = []
    for mode in MODES:
        found.append(simulate(mode, clients, rate, calls, burst=BURST * rate))
        progress.step()
    result = {"clients": clients, "rate": rate, "calls": calls, "modes": found}
    report.show("limits", result, lambda: text(result), as_json=options.json)
    return 0 if options.quick or reached(found) else 1


def reached(found: list[dict[str, Any]]) -> bool:
    """Whether the clients that learn reach the aims."""
    backoff = found[0]
    return all(
        mode["rejected"] <= (1.0 - FEWER) * backoff["rejected"]
        and mode["seconds"] <= LONGER * backoff["seconds"]
        and mode["jain"] >= FAIR
        for mode in found
        if mode["mode"].startswith("learned")
    )


def text(result: dict[str, Any]) -> str:
    """The figures as a table."""
    rows = [
        [
            mode["mode"],
            f"{mode['rejected']:,}",
            f"{mode['rejected_per_answer']:.2f}",
            f"{mode['seconds']:,.0f} s",
            f"{mode['jain']:.3f}",
        ]
        for mode in result["modes"]
    ]
    head = ["clients", "429s", "429s per answer", "whole work", "Jain's index at half"]
    return str(table(head, rows))
