"""What all policies meet alike: four providers, the outages that befall them, and the calls."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from multirouter.testing import Fault, Outage

REGULAR_ERRORS = 0.01
"""The share of attempts that fail at every provider at all times."""

SICK_FACTOR = 1.5
"""A provider that grows slower counts as ill from this many times its usual latency."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One provider in health.

    Attributes:
        name: its name.
        median: its median latency, seconds.
        sigma: the spread of its latency's logarithm.
        weight: its weight in the draw.
        price: USD for one answer.
    """

    name: str
    median: float
    sigma: float
    weight: float
    price: float


SPECS = (
    Spec("swift", 0.6, 0.5, 4.0, 0.0100),
    Spec("steady", 0.9, 0.55, 3.0, 0.0060),
    Spec("thrifty", 1.4, 0.6, 2.0, 0.0030),
    Spec("local", 2.0, 0.7, 1.0, 0.0010),
)


@dataclass(frozen=True, slots=True)
class Incident:
    """One outage of one provider.

    Attributes:
        kind: its sort, one of `schedule.KINDS`.
        provider: index into the world's specs.
        outage: when, and what befalls whom.
    """

    kind: str
    provider: int
    outage: Outage

    @property
    def fault(self) -> Fault:
        """What befalls the attempts."""
        fault = self.outage.fault
        assert isinstance(fault, Fault)  # an Outage makes one of a name when it is born
        return fault

    def sick(self, now: float) -> bool:
        """Whether the provider is ill at `now`: flapping has healthy times, decline a begin."""
        outage = self.outage
        since = now - outage.start
        if not 0.0 <= since < outage.end - outage.start:
            return False
        if outage.up and since % (outage.down + outage.up) >= outage.down:
            return False
        if outage.growing:
            grown = since / (outage.end - outage.start)
            return 1.0 + (self.fault.factor - 1.0) * grown >= SICK_FACTOR
        return True


@dataclass(frozen=True, slots=True)
class World:
    """A span of time with its calls and outages.

    Attributes:
        seed: draws everything.
        seconds: how long calls arrive.
        rate: calls a second, on average.
        incidents: all outages, by their start.
        length_share: see `Chance`.
        specs: the providers.
    """

    seed: int
    seconds: float
    rate: float
    incidents: tuple[Incident, ...]
    length_share: float = 0.0
    specs: tuple[Spec, ...] = SPECS

    def arrivals(self) -> Iterator[float]:
        """The instants at which calls arrive: a Poisson process, whatever the policies do."""
        rng = random.Random(f"arrivals {self.seed}")
        at = rng.expovariate(self.rate)
        while at < self.seconds:
            yield at
            at += rng.expovariate(self.rate)

    def courses(self) -> list[Course]:
        """One `Course` a provider."""
        return [
            Course([i for i in self.incidents if i.provider == number])
            for number in range(len(self.specs))
        ]


class Course:
    """One provider's outages in order, asked about instants that only grow."""

    __slots__ = ("_at", "_end", "_start", "incidents")

    def __init__(self, incidents: list[Incident]) -> None:
        self.incidents = incidents
        self._at = -1
        self._start = self._end = -1.0
        self._advance()

    def at(self, now: float) -> Incident | None:
        """The outage at `now`, or None; `now` must not be less than in an earlier question."""
        while now >= self._end:
            self._advance()
        return None if now < self._start else self.incidents[self._at]

    def _advance(self) -> None:
        self._at += 1
        if self._at < len(self.incidents):
            outage = self.incidents[self._at].outage
            self._start, self._end = outage.start, outage.end
        else:
            self._start = self._end = float("inf")
