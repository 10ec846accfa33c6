"""Figures of a run: errors, latencies, attempts, false openings, recoveries, shares, cost."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.outages.availability import Absence, absences, false_openings
from benchmarks.outages.provider import REGULAR
from benchmarks.outages.simulation import NO_PROVIDER, Run
from benchmarks.outages.world import World

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}

BACK_WITHIN = 30.0
"""Seconds within which a recovered provider should be available."""

Figures = dict[str, Any]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of an ascending sequence does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def figures(world: World, run: Run) -> Figures:
    """All figures of one run."""
    calls = len(run.started)
    ordered = sorted(run.elapsed)
    return {
        "calls": calls,
        "errors": len(run.errors),
        "caught": _recovered_failures(run),
        **{name: percentile(ordered, share) for name, share in PERCENTILES.items()},
        "attempts_per_call": sum(run.attempts) / calls,
        "wasted": sum(n for kind, n in run.faults.items() if kind != REGULAR),
        "regular_errors": run.faults[REGULAR],
        "background": len(run.background) - sum(run.health_checks),
        "health_checks": sum(run.health_checks),
        "hedges": sum(a.role == "hedge" for trail in run.trails.values() for a in trail),
        **_false_openings(world, run),
        **_recoveries(world, run),
        "shares": {
            spec.name: run.served.count(number) / max(1, calls - run.served.count(NO_PROVIDER))
            for number, spec in enumerate(world.specs)
        },
        "usd_per_1000": 1000 * sum(run.cost) / calls,
        "took": run.took,
    }


def _recovered_failures(run: Run) -> int:
    """Failed attempts whose call was answered by a later attempt."""
    return sum(
        attempt.kind not in {"success", "cancelled"}
        for number, trail in run.trails.items()
        if number not in run.errors
        for attempt in trail
    )


def _false_openings(world: World, run: Run) -> Figures:
    """Circuits that opened, or failed their trial, while their provider was healthy."""
    wrong = [false.change.old for false in false_openings(world, run)]
    return {
        "openings": sum(
            change.state == "open" and change.old == "closed" for change in run.changes
        ),
        "opened_by_mistake": wrong.count("closed"),
        "reopened_by_mistake": len(wrong) - wrong.count("closed"),
    }


def _recoveries(world: World, run: Run) -> Figures:
    """How long recovered providers stayed unavailable, and the calls during that time."""
    away = absences(world, run.changes)
    spans = sorted(absence.after_recovery for absence in away)
    late = [absence for absence in away if absence.after_recovery > BACK_WITHIN]
    serves = sorted(_until_serving(world, run))
    return {
        "returns": len(spans),
        "back_median": median(spans) if spans else 0.0,
        "back_p95": percentile(spans, 0.95) if spans else 0.0,
        "back_max": spans[-1] if spans else 0.0,
        "back_late": len(late),
        "passed_over_late": sum(_calls_after(run, absence) for absence in late),
        "serves_median": median(serves) if serves else 0.0,
        "serves_max": serves[-1] if serves else 0.0,
    }


def _calls_after(run: Run, absence: Absence) -> int:
    """Calls that arrived while a provider was still unavailable 30 s after its recovery."""
    first = bisect_right(run.started, absence.recovered + BACK_WITHIN)
    return bisect_left(run.started, absence.back) - first


def _until_serving(world: World, run: Run) -> list[float]:
    """Seconds from each recovery to the provider's first answer, which depends on traffic too."""
    answers: list[list[float]] = [[] for _ in world.specs]
    for started, elapsed, served in zip(run.started, run.elapsed, run.served, strict=True):
        if served != NO_PROVIDER:
            answers[served].append(started + elapsed)
    spans = []
    for incident in world.incidents:
        times = answers[incident.provider]
        times.sort()
        at = bisect_right(times, incident.outage.end)
        if at < len(times):
            spans.append(times[at] - incident.outage.end)
    return spans
