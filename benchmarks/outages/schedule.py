"""The schedule of outages: seeded, each kind equally often, never all providers at once."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.outages.world import SPECS, Incident, World
from multirouter.testing import Fault, Outage

MIN_GAP = 120.0
"""Minimum seconds between two outages of one provider."""

FAST_ERROR_AFTER = 0.1
"""Seconds after which a fast error is returned."""

MAX_PLACEMENTS = 40
"""Attempts to place an outage before it is left out."""

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """Length, traffic and outages of a scenario.

    Attributes:
        name: its name.
        seconds: how long calls arrive.
        rate: calls per second.
        outages: their number; a pair of two at once counts as one.
        shortest: the shortest outage, seconds.
        longest: the longest outage, seconds; lengths are log-uniform.
    """

    name: str
    seconds: float
    rate: float
    outages: int
    shortest: float
    longest: float

    def world(self, seed: int, length_share: float = 0.0) -> World:
        """The world of one seed."""
        incidents = tuple(_incidents(self, random.Random(f"outages {self.name} {seed}")))
        return World(seed, self.seconds, self.rate, incidents, length_share)


def month(days: float = 30.0) -> Scenario:
    """Thirty days of 10,000 calls a day, with six outages a day of 30 s to 2 h."""
    outages = max(len(KINDS), round(6 * days))
    return Scenario("month", days * DAY, 10_000 / DAY, outages, 30.0, 7200.0)


def dense(days: float = 10.0) -> Scenario:
    """Ten days of 10,000 calls a day with the outages of a month: eighteen a day."""
    outages = max(len(KINDS), round(18 * days))
    return Scenario("dense", days * DAY, 10_000 / DAY, outages, 30.0, 7200.0)


def busy(hours: float = 24.0) -> Scenario:
    """A day, or part of it, at 100 calls per second; one outage an hour, but each kind once."""
    outages = max(len(KINDS), round(hours))
    return Scenario("busy", hours * 3600.0, 100.0, outages, 20.0, 600.0)


# -- kinds of outages ------------------------------------------------------------------------------


def _dead(rng: random.Random) -> Fault:
    """A random fault without an answer."""
    return rng.choice((_error(rng), Fault("hang"), Fault("reset")))


def _error(rng: random.Random) -> Fault:
    return Fault("error", status=rng.choice((500, 502, 503)), after=FAST_ERROR_AFTER)


Maker = Callable[[random.Random, float, float], Outage]


def _lasting(fault: Callable[[random.Random], Fault]) -> Maker:
    return lambda rng, start, end: Outage(start, end, fault(rng))


def _partial(rng: random.Random, start: float, end: float) -> Outage:
    return Outage(start, end, _dead(rng), share=rng.uniform(0.3, 0.9))


def _flapping(rng: random.Random, start: float, end: float) -> Outage:
    down, up = rng.uniform(10.0, 60.0), rng.uniform(10.0, 60.0)
    return Outage(start, end, _dead(rng), down=down, up=up)


def _decline(rng: random.Random, start: float, end: float) -> Outage:
    return Outage(start, end, Fault("slow", factor=rng.uniform(4.0, 10.0)), growing=True)


KINDS: dict[str, Maker] = {
    "errors": _lasting(_error),
    "hang": _lasting(lambda _: Fault("hang")),
    "429": _lasting(lambda _: Fault("rate_limit", after=FAST_ERROR_AFTER)),
    "429 retry-after": _lasting(
        lambda _: Fault("rate_limit", after=FAST_ERROR_AFTER, headers={"Retry-After": "20"})
    ),
    "slow": _lasting(lambda rng: Fault("slow", factor=rng.uniform(4.0, 15.0))),
    "reset": _lasting(lambda _: Fault("reset")),
    "partial": _partial,
    "flapping": _flapping,
    "two at once": _lasting(_dead),
    "decline": _decline,
    "lies": _lasting(lambda _: Fault("rubbish", value="rubbish")),
}
"""The kinds of outages, each with a function of start and end that makes one."""


# -- placement in time -------------------------------------------------------------------------


def _incidents(scenario: Scenario, rng: random.Random) -> list[Incident]:
    placed: list[Incident] = []
    deck = _shuffled_kinds(rng)
    slot = scenario.seconds / scenario.outages
    for number in range(scenario.outages):
        kind = next(deck)
        for _ in range(MAX_PLACEMENTS):
            span = _span(scenario, rng)
            start = (number + rng.random()) * slot
            found = _place(kind, start, min(start + span, scenario.seconds), placed, rng)
            if found:
                placed += found
                break
    return sorted(placed, key=lambda incident: incident.outage.start)


def _shuffled_kinds(rng: random.Random) -> Iterator[str]:
    """All kinds in random order, repeatedly: each as often as the others."""
    while True:
        kinds = list(KINDS)
        rng.shuffle(kinds)
        yield from kinds


def _span(scenario: Scenario, rng: random.Random) -> float:
    minimum, maximum = math.log(scenario.shortest), math.log(scenario.longest)
    return math.exp(rng.uniform(minimum, maximum))


def _place(
    kind: str, start: float, end: float, placed: list[Incident], rng: random.Random
) -> list[Incident]:
    """The outage at that place, or nothing when it does not fit.

    A provider with an outage at any time within it counts as unhealthy throughout, and one provider
    must stay healthy.
    """
    needed = 2 if kind == "two at once" else 1
    unhealthy = {i.provider for i in placed if i.outage.start < end and i.outage.end > start}
    recent = {
        i.provider
        for i in placed
        if i.outage.start < end + MIN_GAP and i.outage.end > start - MIN_GAP
    }
    free = [number for number in range(len(SPECS)) if number not in recent]
    if end - start < 1.0 or len(free) < needed or len(unhealthy) + needed >= len(SPECS):
        return []
    chosen = rng.sample(free, needed)
    return [Incident(kind, number, KINDS[kind](rng, start, end)) for number in chosen]
