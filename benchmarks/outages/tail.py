"""Where a policy loses against the oracle: slow calls, extra attempts, false openings by sort."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from benchmarks.outages.availability import absences, false_openings, incident_near
from benchmarks.outages.measures import BACK_WITHIN
from benchmarks.outages.policy import Asked
from benchmarks.outages.trial import Run
from benchmarks.outages.world import World

NONE = "nobody ill"
"""The sort of what happened while the provider was well: long answers and regular errors."""

EXAMPLES = 3
"""Trails shown of each sort, the slowest."""


def tail(world: World, run: Run, limit: float) -> dict[str, Any]:
    """The breakdown of one run.

    Args:
        world: the truth.
        run: what a policy made of it.
        limit: calls slower than this many seconds are the tail: the oracle's p99.9.
    """
    return {
        "slower_than": limit,
        "slow_calls": _slow_calls(world, run, limit),
        "extra_attempts": _extra_attempts(world, run),
        "false_openings": _false_openings(world, run),
        "late_returns": _late_returns(world, run),
        "errors": dict(list(run.errors.items())[:20]),
    }


def blame(world: World, asked: Asked) -> str:
    """The sort of outage that was in force when an attempt began."""
    incident = incident_near(world, asked.provider, asked.started)
    if incident is None:
        return NONE
    inner = incident.fault.kind
    mixed = incident.kind in {"partial", "flapping", "two at once"}
    return f"{incident.kind} ({inner})" if mixed else incident.kind


def trail_in_words(world: World, start: float, trail: Sequence[Asked]) -> str:
    """A trail in one line: who was asked when, what came of it, in whose outage."""
    return " | ".join(
        f"+{asked.started - start:.2f} {asked.role} {world.specs[asked.provider].name} "
        f"{asked.kind} in {asked.elapsed:.2f} [{blame(world, asked)}]"
        for asked in sorted(trail, key=lambda asked: asked.started)
    )


def _slow_calls(world: World, run: Run, limit: float) -> list[dict[str, Any]]:
    """By the sort that cost most of the time: how many calls, and the slowest in words."""
    by_sort: dict[str, list[int]] = defaultdict(list)
    for number, trail in run.trails.items():
        if run.elapsed[number] > limit:
            longest = max(trail, key=lambda asked: asked.elapsed, default=None)
            by_sort["no attempt" if longest is None else blame(world, longest)].append(number)
    rows = []
    for sort, numbers in sorted(by_sort.items(), key=lambda item: -len(item[1])):
        numbers.sort(key=lambda number: -run.elapsed[number])
        rows.append(
            {
                "sort": sort,
                "calls": len(numbers),
                "of_one_attempt": sum(len(run.trails[number]) == 1 for number in numbers),
                "median": run.elapsed[numbers[len(numbers) // 2]],
                "slowest": run.elapsed[numbers[0]],
                "examples": [
                    trail_in_words(world, run.started[number], run.trails[number])
                    for number in numbers[:EXAMPLES]
                ],
            }
        )
    return rows


def _extra_attempts(world: World, run: Run) -> list[dict[str, Any]]:
    """Attempts beyond the first of each call: after which failure, or for what purpose."""
    found: Counter[tuple[str, str]] = Counter()
    for trail in run.trails.values():
        ordered = sorted(trail, key=lambda asked: asked.started)
        for before, asked in pairwise(ordered):
            if asked.role == "hedge":
                found["hedge", blame(world, before)] += 1
            else:
                found[f"after {before.kind}", blame(world, before)] += 1
    for asked in run.background:
        found[f"{asked.role}: {asked.kind}", blame(world, asked)] += 1
    calls = len(run.started)
    return [
        {"why": why, "sort": sort, "attempts": n, "per_call": n / calls}
        for (why, sort), n in found.most_common()
    ]


def _false_openings(world: World, run: Run) -> list[dict[str, Any]]:
    """Why circuits of healthy providers opened, and how often."""
    found: Counter[tuple[str, str, str]] = Counter()
    for false in false_openings(world, run):
        trial = false.trial
        how = false.turn.reason if trial is None else f"{trial.role} ended as {trial.kind}"
        found[world.specs[false.turn.provider].name, false.turn.old, how] += 1
    return [
        {"provider": provider, "from": old, "why": how, "times": n}
        for (provider, old, how), n in found.most_common()
    ]


def _late_returns(world: World, run: Run) -> list[dict[str, Any]]:
    """Recoveries after which a provider stayed out too long, and what happened meanwhile."""
    late = [a for a in absences(world, run.turns) if a.after_recovery > BACK_WITHIN]
    return [
        {
            "provider": world.specs[absence.incident.provider].name,
            "sort": absence.incident.kind,
            "recovered": absence.recovered,
            "seconds": absence.after_recovery,
            "turns": ", ".join(
                f"+{turn.at - absence.recovered:.0f} {turn.state} ({turn.reason})"
                for turn in run.turns
                if turn.provider == absence.incident.provider
                and absence.recovered <= turn.at <= absence.back
            ),
        }
        for absence in sorted(late, key=lambda absence: -absence.after_recovery)
    ]
