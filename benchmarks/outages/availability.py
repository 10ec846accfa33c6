"""When providers were unavailable, compared with the outages: late recoveries, false openings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from benchmarks.outages.policy import Attempt, StateChange
from benchmarks.outages.simulation import Run
from benchmarks.outages.world import Incident, World

AFTERMATH = 31.0
"""Seconds after an outage in which attempts that began in it may still fail: the longest attempt
timeout. A circuit that opens in that time is no false opening."""


@dataclass(frozen=True, slots=True)
class Period:
    """A period in which a provider was in a state other than closed."""

    state: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Absence:
    """A recovered provider that was still unavailable.

    Attributes:
        incident: the outage that had ended.
        back: loop time at which it was available again, or the next outage began.
    """

    incident: Incident
    back: float

    @property
    def recovered(self) -> float:
        """Loop time of the recovery, seconds."""
        return self.incident.outage.end

    @property
    def after_recovery(self) -> float:
        """Seconds from the recovery until it was available."""
        return self.back - self.recovered


def unavailable_periods(
    changes: Sequence[StateChange], provider: int, until: float
) -> list[Period]:
    """The periods in which a provider's circuit was not closed, or in a cooldown, by start."""
    found = []
    state, since = "closed", 0.0
    for change in changes:
        if change.provider != provider:
            continue
        if change.state == "cooling down":
            found.append(Period("cooling down", change.at, change.at + change.seconds))
            continue
        if state != "closed":
            found.append(Period(state, since, change.at))
        state, since = change.state, change.at
    if state != "closed":
        found.append(Period(state, since, until))
    return sorted(found, key=lambda period: period.start)


def absences(world: World, changes: Sequence[StateChange]) -> list[Absence]:
    """For each outage: until when its provider was unavailable after its end, if it was."""
    found = []
    for number, timeline in enumerate(world.timelines()):
        outs = _joined(unavailable_periods(changes, number, world.seconds))
        for incident, following in zip_longest(timeline.incidents, timeline.incidents[1:]):
            until = world.seconds if following is None else following.outage.start
            back = _back(outs, incident.outage.end, until)
            if back is not None:
                found.append(Absence(incident, back))
    return found


def _joined(found: Sequence[Period]) -> list[tuple[float, float]]:
    """Merges periods that touch or overlap."""
    joined: list[tuple[float, float]] = []
    for period in found:
        if joined and period.start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], period.end))
        else:
            joined.append((period.start, period.end))
    return joined


def _back(outs: Sequence[tuple[float, float]], recovered: float, until: float) -> float | None:
    """End of the last unavailable period that the outage, or its last attempts, caused."""
    ends = [
        end for start, end in outs if end > recovered and start < min(recovered + AFTERMATH, until)
    ]
    return min(max(ends), until) if ends else None


def incident_near(world: World, provider: int, at: float, before: float = 0.0) -> Incident | None:
    """The provider's outage at `at`, or the last one that ended at most `before` earlier."""
    near = [
        incident
        for incident in world.incidents
        if incident.provider == provider
        and incident.outage.start <= at < incident.outage.end + max(before, math.ulp(at))
    ]
    return near[-1] if near else None


@dataclass(frozen=True, slots=True)
class FalseOpening:
    """A circuit that opened although its provider was healthy.

    Attributes:
        change: the opening.
        trial: the attempt that decided it, when the circuit was half-open.
    """

    change: StateChange
    trial: Attempt | None


def false_openings(world: World, run: Run) -> list[FalseOpening]:
    """Openings of circuits whose provider was healthy, and had been for long enough.

    A failed trial is compared with the outages at the instant at which it began.
    """
    ended = {
        (attempt.provider, round(attempt.started + attempt.elapsed, 6)): attempt
        for attempt in (
            *run.background,
            *(attempt for trail in run.trails.values() for attempt in trail),
        )
    }
    found = []
    for change in run.changes:
        if change.state != "open":
            continue
        trial = (
            None if change.old == "closed" else ended.get((change.provider, round(change.at, 6)))
        )
        at = change.at if trial is None else trial.started
        before = AFTERMATH if change.old == "closed" else 0.0
        if incident_near(world, change.provider, at, before) is None:
            found.append(FalseOpening(change, trial))
    return found
