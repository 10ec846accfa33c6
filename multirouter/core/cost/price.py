"""Price of a provider, and the cost of a usage at it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from multirouter.core import validation as check
from multirouter.model import Usage

_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a provider in US dollars; every value from 0 to 1e9.

    Attributes:
        input: per million input tokens.
        output: per million output tokens, including reasoning.
        cached_input: per million tokens read from the prompt cache; None means as `input`.
        per_request: per billed request.
        cache_write: per million tokens written into the prompt cache; None means as `input`.

    Raises:
        ConfigurationError: a value is out of range.
    """

    input: float
    output: float
    cached_input: float | None = None
    per_request: float = 0.0
    _: KW_ONLY
    cache_write: float | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input", "per_request", "cache_write"):
            value = getattr(self, name)
            if value is not None:
                check.number(f"Price.{name}", value, minimum=0.0, maximum=1e9)

    def of(self, usage: Usage) -> float:
        """Cost of one request with this usage, USD."""
        total_input, output, read, written, _, _ = usage
        uncached = total_input - read - written
        if uncached < 0:
            uncached = total_input  # some resellers report the input without the cached tokens
        cost = uncached * self.input + output * self.output
        if read:
            cost += read * (self.input if self.cached_input is None else self.cached_input)
        if written:
            cost += written * (self.input if self.cache_write is None else self.cache_write)
        return cost / _MILLION + self.per_request


FREE = Price(0.0, 0.0)
"""Price of a provider that has `usage=` and no `price=`."""
