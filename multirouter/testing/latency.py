"""Latency distributions of scripted providers; each has one method, `sample(rng)`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from multirouter.core import validation as check

if TYPE_CHECKING:
    import random


class Latency(Protocol):
    """A distribution of durations; any object with this method is one."""

    def sample(self, rng: random.Random, /) -> float:
        """Returns one random duration, seconds, >= 0."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant duration.

    Attributes:
        seconds: the duration, seconds, >= 0.
    """

    seconds: float

    def __post_init__(self) -> None:
        check.number("Constant.seconds", self.seconds, minimum=0.0)

    def sample(self, _: random.Random, /) -> float:
        """Returns the constant duration, seconds."""
        return self.seconds


@dataclass(frozen=True, slots=True)
class Uniform:
    """A uniform distribution.

    Attributes:
        minimum: the lower bound, seconds, >= 0.
        maximum: the upper bound, seconds, >= `minimum`.
    """

    minimum: float
    maximum: float

    def __post_init__(self) -> None:
        check.number("Uniform.minimum", self.minimum, minimum=0.0)
        check.number("Uniform.maximum", self.maximum, minimum=self.minimum)

    def sample(self, rng: random.Random, /) -> float:
        """Returns one random duration, seconds."""
        return rng.uniform(self.minimum, self.maximum)


@dataclass(frozen=True, slots=True)
class Exponential:
    """An exponential distribution, shifted by a minimum.

    Attributes:
        mean: the mean before the shift, seconds, > 0.
        minimum: added to each duration, seconds, >= 0.
    """

    mean: float
    minimum: float = 0.0

    def __post_init__(self) -> None:
        check.number("Exponential.mean", self.mean, above=0.0)
        check.number("Exponential.minimum", self.minimum, minimum=0.0)

    def sample(self, rng: random.Random, /) -> float:
        """Returns one random duration, seconds."""
        return self.minimum + rng.expovariate(1.0 / self.mean)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal distribution: the long right tail of language model latencies.

    Attributes:
        median: the median, seconds, > 0.
        sigma: standard deviation of the logarithm, 0 to 10 (0.5: p99 is 3.2 times the median).
    """

    median: float
    sigma: float

    def __post_init__(self) -> None:
        check.number("LogNormal.median", self.median, above=0.0)
        check.number("LogNormal.sigma", self.sigma, minimum=0.0, maximum=10.0)

    def sample(self, rng: random.Random, /) -> float:
        """Returns one random duration, seconds."""
        return rng.lognormvariate(math.log(self.median), self.sigma)


def as_latency(what: str, given: float | Latency) -> Latency:
    """Returns a distribution; a number becomes a constant one.

    Raises:
        ConfigurationError: `given` is neither a distribution nor a number of seconds >= 0.
    """
    if callable(getattr(given, "sample", None)):
        latency: Latency = given  # type: ignore[assignment]  # it has what the protocol asks for
        return latency
    return Constant(check.number(what, given, minimum=0.0))
