"""Who was kept out when, held against the truth: absences after recovery, and false openings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from benchmarks.outages.policy import Asked, Turn
from benchmarks.outages.trial import Run
from benchmarks.outages.world import Incident, World

AFTERMATH = 31.0
"""Seconds after an outage in which attempts that began in it may still fail: the longest attempt
timeout. What opens a circuit in that time is no mistake."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which a provider was in one state other than closed."""

    state: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Absence:
    """A recovered provider that was still kept out.

    Attributes:
        incident: the outage that was over.
        back: loop time at which it took part again, or the next outage began.
    """

    incident: Incident
    back: float

    @property
    def recovered(self) -> float:
        """Loop time of the recovery, seconds."""
        return self.incident.outage.end

    @property
    def after_recovery(self) -> float:
        """Seconds from the recovery until it was back."""
        return self.back - self.recovered


def stretches(turns: Sequence[Turn], provider: int, until: float) -> list[Stretch]:
    """When one provider's circuit was not closed, and when it rested, each by its begin."""
    found = []
    state, since = "closed", 0.0
    for turn in turns:
        if turn.provider != provider:
            continue
        if turn.state == "cooling down":
            found.append(Stretch("cooling down", turn.at, turn.at + turn.seconds))
            continue
        if state != "closed":
            found.append(Stretch(state, since, turn.at))
        state, since = turn.state, turn.at
    if state != "closed":
        found.append(Stretch(state, since, until))
    return sorted(found, key=lambda stretch: stretch.start)


def absences(world: World, turns: Sequence[Turn]) -> list[Absence]:
    """For each outage after whose end its provider was kept out: until when."""
    found = []
    for number, course in enumerate(world.courses()):
        outs = _joined(stretches(turns, number, world.seconds))
        for incident, following in zip_longest(course.incidents, course.incidents[1:]):
            until = world.seconds if following is None else following.outage.start
            back = _back(outs, incident.outage.end, until)
            if back is not None:
                found.append(Absence(incident, back))
    return found


def _joined(found: Sequence[Stretch]) -> list[tuple[float, float]]:
    """Stretches that touch or overlap, as one."""
    joined: list[tuple[float, float]] = []
    for stretch in found:
        if joined and stretch.start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stretch.end))
        else:
            joined.append((stretch.start, stretch.end))
    return joined


def _back(outs: Sequence[tuple[float, float]], recovered: float, until: float) -> float | None:
    """The end of the last time out that the outage itself, or its last attempts, brought about."""
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
    """A circuit that opened though nothing was wrong with its provider.

    Attributes:
        turn: the opening.
        trial: the attempt that decided it, when the circuit was half-open.
    """

    turn: Turn
    trial: Asked | None


def false_openings(world: World, run: Run) -> list[FalseOpening]:
    """Openings of circuits whose provider was well, and had been long enough.

    A failed trial is held against the instant at which it began.
    """
    ended = {
        (asked.provider, round(asked.started + asked.elapsed, 6)): asked
        for asked in (*run.background, *(asked for trail in run.trails.values() for asked in trail))
    }
    found = []
    for turn in run.turns:
        if turn.state != "open":
            continue
        trial = None if turn.old == "closed" else ended.get((turn.provider, round(turn.at, 6)))
        at = turn.at if trial is None else trial.started
        before = AFTERMATH if turn.old == "closed" else 0.0
        if incident_near(world, turn.provider, at, before) is None:
            found.append(FalseOpening(turn, trial))
    return found
