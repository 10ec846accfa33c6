"""Where a policy loses against the oracle, by outage kind: slow calls, attempts, false openings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from benchmarks.outages.availability import absences, false_openings, incident_near
from benchmarks.outages.measures import BACK_WITHIN
from benchmarks.outages.policy import Attempt
from benchmarks.outages.simulation import Run
from benchmarks.outages.world import World

NONE = "no outage"
"""The kind of what happened while the provider was healthy: long answers and regular errors."""

EXAMPLES = 3
"""The slowest trails that are shown for each kind."""


def tail(world: World, run: Run, limit: float) -> dict[str, Any]:
    """The breakdown of one run.

    Args:
        world: the world.
        run: a policy's run in it.
        limit: calls slower than this, seconds, are the tail: the oracle's p99.9.
    """
    return {
        "slower_than": limit,
        "slow_calls": _slow_calls(world, run, limit),
        "extra_attempts": _extra_attempts(world, run),
        "false_openings": _false_openings(world, run),
        "late_returns": _late_returns(world, run),
        "errors": dict(list(run.errors.items())[:20]),
    }


def incident_of(world: World, attempt: Attempt) -> str:
    """The kind of outage that was in force when an attempt began."""
    incident = incident_near(world, attempt.provider, attempt.started)
    if incident is None:
        return NONE
    inner = incident.fault.kind
    mixed = incident.kind in {"partial", "flapping", "two at once"}
    return f"{incident.kind} ({inner})" if mixed else incident.kind


def trail_text(world: World, start: float, trail: Sequence[Attempt]) -> str:
    """A trail in one line: each attempt with start, provider, result and outage."""
    return " | ".join(
        f"+{attempt.started - start:.2f} {attempt.role} {world.specs[attempt.provider].name} "
        f"{attempt.kind} in {attempt.elapsed:.2f} [{incident_of(world, attempt)}]"
        for attempt in sorted(trail, key=lambda attempt: attempt.started)
    )


def _slow_calls(world: World, run: Run, limit: float) -> list[dict[str, Any]]:
    """By the outage kind of the longest attempt: number of calls, and the slowest trails."""
    by_kind: dict[str, list[int]] = defaultdict(list)
    for number, trail in run.trails.items():
        if run.elapsed[number] > limit:
            longest = max(trail, key=lambda attempt: attempt.elapsed, default=None)
            by_kind["no attempt" if longest is None else incident_of(world, longest)].append(number)
    rows = []
    for kind, numbers in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        numbers.sort(key=lambda number: -run.elapsed[number])
        rows.append(
            {
                "kind": kind,
                "calls": len(numbers),
                "of_one_attempt": sum(len(run.trails[number]) == 1 for number in numbers),
                "median": run.elapsed[numbers[len(numbers) // 2]],
                "slowest": run.elapsed[numbers[0]],
                "examples": [
                    trail_text(world, run.started[number], run.trails[number])
                    for number in numbers[:EXAMPLES]
                ],
            }
        )
    return rows


def _extra_attempts(world: World, run: Run) -> list[dict[str, Any]]:
    """Attempts after the first of each call, by the failure before them or their role."""
    found: Counter[tuple[str, str]] = Counter()
    for trail in run.trails.values():
        ordered = sorted(trail, key=lambda attempt: attempt.started)
        for before, attempt in pairwise(ordered):
            if attempt.role == "hedge":
                found["hedge", incident_of(world, before)] += 1
            else:
                found[f"after {before.kind}", incident_of(world, before)] += 1
    for attempt in run.background:
        found[f"{attempt.role}: {attempt.kind}", incident_of(world, attempt)] += 1
    calls = len(run.started)
    return [
        {"why": why, "kind": kind, "attempts": n, "per_call": n / calls}
        for (why, kind), n in found.most_common()
    ]


def _false_openings(world: World, run: Run) -> list[dict[str, Any]]:
    """Why circuits of healthy providers opened, and how often."""
    found: Counter[tuple[str, str, str]] = Counter()
    for false in false_openings(world, run):
        trial = false.trial
        how = false.change.reason if trial is None else f"{trial.role} ended as {trial.kind}"
        found[world.specs[false.change.provider].name, false.change.old, how] += 1
    return [
        {"provider": provider, "from": old, "why": how, "times": n}
        for (provider, old, how), n in found.most_common()
    ]


def _late_returns(world: World, run: Run) -> list[dict[str, Any]]:
    """Recoveries after which a provider was unavailable for too long, with its state changes."""
    late = [a for a in absences(world, run.changes) if a.after_recovery > BACK_WITHIN]
    return [
        {
            "provider": world.specs[absence.incident.provider].name,
            "kind": absence.incident.kind,
            "recovered": absence.recovered,
            "seconds": absence.after_recovery,
            "turns": ", ".join(
                f"+{change.at - absence.recovered:.0f} {change.state} ({change.reason})"
                for change in run.changes
                if change.provider == absence.incident.provider
                and absence.recovered <= change.at <= absence.back
            ),
        }
        for absence in sorted(late, key=lambda absence: -absence.after_recovery)
    ]
