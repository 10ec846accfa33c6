"""How long a scripted provider takes: distributions with one method, `sample(rng)`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from multirouter.core import validation as check

if TYPE_CHECKING:
    import random


class Latency(Protocol):
    """A distribution of spans of time; write another by giving it this method."""

    def sample(self, rng: random.Random, /) -> float:
        """Draws one span, seconds, at least 0."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same span.

    Attributes:
        seconds: the span, at least 0.
    """

    seconds: float

    def __post_init__(self) -> None:
        check.number("Constant.seconds", self.seconds, least=0.0)

    def sample(self, _: random.Random, /) -> float:
        """Draws nothing: the span itself, seconds."""
        return self.seconds


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any span of a range alike.

    Attributes:
        least: the shortest, seconds, at least 0.
        most: the longest, seconds, at least `least`.
    """

    least: float
    most: float

    def __post_init__(self) -> None:
        check.number("Uniform.least", self.least, least=0.0)
        check.number("Uniform.most", self.most, least=self.least)

    def sample(self, rng: random.Random, /) -> float:
        """Draws one span, seconds."""
        return rng.uniform(self.least, self.most)


@dataclass(frozen=True, slots=True)
class Exponential:
    """A wait without memory.

    Attributes:
        mean: the mean, seconds, above 0.
        least: added to each span, seconds, at least 0.
    """

    mean: float
    least: float = 0.0

    def __post_init__(self) -> None:
        check.number("Exponential.mean", self.mean, above=0.0)
        check.number("Exponential.least", self.least, least=0.0)

    def sample(self, rng: random.Random, /) -> float:
        """Draws one span, seconds."""
        return self.least + rng.expovariate(1.0 / self.mean)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A long right tail, as answers of language models have it.

    Attributes:
        median: half of the spans are shorter, seconds, above 0.
        sigma: the spread of the logarithm, at least 0 (0.5: the 99th percentile is 3.2 medians).
    """

    median: float
    sigma: float

    def __post_init__(self) -> None:
        check.number("LogNormal.median", self.median, above=0.0)
        check.number("LogNormal.sigma", self.sigma, least=0.0, most=10.0)

    def sample(self, rng: random.Random, /) -> float:
        """Draws one span, seconds."""
        return rng.lognormvariate(math.log(self.median), self.sigma)


def as_latency(what: str, given: float | Latency) -> Latency:
    """Returns a distribution; a number is a constant one.

    Raises:
        ConfigurationError: neither a distribution nor a number of seconds.
    """
    if callable(getattr(given, "sample", None)):
        latency: Latency = given  # type: ignore[assignment]  # it has what the protocol asks for
        return latency
    return Constant(check.number(what, given, least=0.0))
