"""The world that all policies share: four providers, their outages, and the arrivals of calls."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from multirouter.testing import Fault, Outage

REGULAR_ERRORS = 0.01
"""The share of attempts that fail at each provider at all times."""

UNHEALTHY_FACTOR = 1.5
"""A provider that becomes slower is unhealthy from this multiple of its usual latency."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A provider without outages.

    Attributes:
        name: its name.
        median: its median latency, seconds.
        sigma: the standard deviation of its latency's logarithm.
        weight: its weight in the weighted choice.
        price: USD per answer.
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
        kind: one of `schedule.KINDS`.
        provider: index into the world's specs.
        outage: its time, fault and share.
    """

    kind: str
    provider: int
    outage: Outage

    @property
    def fault(self) -> Fault:
        """The fault of its attempts."""
        fault = self.outage.fault
        assert isinstance(fault, Fault)  # an Outage converts names at construction
        return fault

    def is_unhealthy(self, now: float) -> bool:
        """Whether the provider is unhealthy at `now`: flapping has healthy times in between."""
        outage = self.outage
        since = now - outage.start
        if not 0.0 <= since < outage.end - outage.start:
            return False
        if outage.up and since % (outage.down + outage.up) >= outage.down:
            return False
        if outage.growing:
            grown = since / (outage.end - outage.start)
            return 1.0 + (self.fault.factor - 1.0) * grown >= UNHEALTHY_FACTOR
        return True


@dataclass(frozen=True, slots=True)
class World:
    """A period of time with its calls and outages.

    Attributes:
        seed: determines everything.
        seconds: how long calls arrive.
        rate: calls per second, on average.
        incidents: all outages, by their start.
        length_share: see `Randomness`.
        specs: the providers.
    """

    seed: int
    seconds: float
    rate: float
    incidents: tuple[Incident, ...]
    length_share: float = 0.0
    specs: tuple[Spec, ...] = SPECS

    def arrivals(self) -> Iterator[float]:
        """The arrival times of calls: a Poisson process, independent of the policies."""
        rng = random.Random(f"arrivals {self.seed}")
        at = rng.expovariate(self.rate)
        while at < self.seconds:
            yield at
            at += rng.expovariate(self.rate)

    def timelines(self) -> list[Timeline]:
        """One `Timeline` per provider."""
        return [
            Timeline([i for i in self.incidents if i.provider == number])
            for number in range(len(self.specs))
        ]


class Timeline:
    """One provider's outages in order, for lookups at increasing times."""

    __slots__ = ("_at", "_end", "_start", "incidents")

    def __init__(self, incidents: list[Incident]) -> None:
        self.incidents = incidents
        self._at = -1
        self._start = self._end = -1.0
        self._advance()

    def at(self, now: float) -> Incident | None:
        """The outage at `now`, or None; `now` must not be less than in an earlier call."""
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
