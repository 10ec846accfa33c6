"""What a run comes to in figures: errors, latencies, attempts, mistakes, returns, shares, cost."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.outages.availability import Absence, absences, false_openings
from benchmarks.outages.provider import REGULAR
from benchmarks.outages.trial import NOBODY, Run
from benchmarks.outages.world import World

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}

BACK_WITHIN = 30.0
"""Seconds within which a recovered provider is to be back."""

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
        "caught": _caught(run),
        **{name: percentile(ordered, share) for name, share in PERCENTILES.items()},
        "attempts_per_call": sum(run.attempts) / calls,
        "wasted": sum(n for kind, n in run.struck.items() if kind != REGULAR),
        "regular_errors": run.struck[REGULAR],
        "background": len(run.background) - sum(run.half_open_max_calls),
        "probes": sum(run.half_open_max_calls),
        "hedges": sum(a.role == "hedge" for trail in run.trails.values() for a in trail),
        **_mistakes(world, run),
        **_returns(world, run),
        "shares": {
            spec.name: run.served.count(number) / max(1, calls - run.served.count(NOBODY))
            for number, spec in enumerate(world.specs)
        },
        "usd_per_1000": 1000 * sum(run.cost) / calls,
        "took": run.took,
    }


def _caught(run: Run) -> int:
    """Failed attempts whose caller got an answer all the same."""
    return sum(
        asked.kind not in {"success", "cancelled"}
        for number, trail in run.trails.items()
        if number not in run.errors
        for asked in trail
    )


def _mistakes(world: World, run: Run) -> Figures:
    """Circuits that opened, or failed their trial, while their provider was well."""
    wrong = [false.turn.old for false in false_openings(world, run)]
    return {
        "openings": sum(turn.state == "open" and turn.old == "closed" for turn in run.turns),
        "opened_by_mistake": wrong.count("closed"),
        "reopened_by_mistake": len(wrong) - wrong.count("closed"),
    }


def _returns(world: World, run: Run) -> Figures:
    """How long recovered providers stayed away, and the calls that had to do without them."""
    away = absences(world, run.turns)
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
    """Calls that came while a provider was still away 30 s after its recovery."""
    first = bisect_right(run.started, absence.recovered + BACK_WITHIN)
    return bisect_left(run.started, absence.back) - first


def _until_serving(world: World, run: Run) -> list[float]:
    """Seconds from each recovery to the first answer after it, which the traffic bounds too."""
    answers: list[list[float]] = [[] for _ in world.specs]
    for started, elapsed, served in zip(run.started, run.elapsed, run.served, strict=True):
        if served != NOBODY:
            answers[served].append(started + elapsed)
    spans = []
    for incident in world.incidents:
        times = answers[incident.provider]
        times.sort()
        at = bisect_right(times, incident.outage.end)
        if at < len(times):
            spans.append(times[at] - incident.outage.end)
    return spans
