"""Random numbers per attempt: each number is a function of (call, provider, nth attempt).

All policies meet the same latencies and the same faults, in whatever order they attempt providers,
so that their figures differ by their decisions and not by luck.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

_STEPS = 1 << 16
_MASK = (1 << 64) - 1
_FRACTION = 1 / (1 << 24)


def scramble(number: int) -> int:
    """Scatters a whole number over 64 bits.

    Source: the finalizer of splitmix64, Steele, Lea, Flood, OOPSLA 2014.
    """
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)


@cache
def _normals() -> list[float]:
    """The standard normal distribution in 65,536 steps of equal weight."""
    inverse = NormalDist().inv_cdf
    return [inverse((step + 0.5) / _STEPS) for step in range(_STEPS)]


class Randomness:
    """Random numbers of one world.

    Args:
        seed: the world's seed.
        length_share: the share of the variance of a latency's logarithm, 0 to 1, that belongs to
            the call, as a long answer is long on every provider; the rest is the attempt's own.
    """

    def __init__(self, seed: int, length_share: float = 0.0) -> None:
        self._seed = scramble(seed)
        self._normals = _normals()
        self._common = length_share**0.5
        self._own = (1.0 - length_share) ** 0.5

    def attempt(self, call: int, provider: int, nth: int) -> tuple[float, float, float]:
        """The random numbers of one attempt.

        Returns:
            A standard normal for the latency, and two numbers from [0, 1): for the fault of an
            outage, and for a regular error.
        """
        bits = scramble(self._seed ^ ((((call << 4) | provider) << 8) | nth))
        normal = self._normals[bits & 0xFFFF]
        if self._common:
            shared = self._normals[scramble(self._seed ^ ~call & _MASK) & 0xFFFF]
            normal = self._own * normal + self._common * shared
        return normal, ((bits >> 16) & 0xFFFFFF) * _FRACTION, (bits >> 40) * _FRACTION
